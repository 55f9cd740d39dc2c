"""`Idempotency-Key`: the same request sent again has one effect and gets the same answer.

The answer is stored in the transaction of its effect, so both stand or neither. A request that failed had no effect;
nothing is stored, and it may be sent again. Of two at once, the second waits for the first.
"""

import functools
import hashlib
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.db import OperationalError, connection, transaction
from django.utils.crypto import salted_hmac
from psycopg import errors
from rest_framework.request import Request
from rest_framework.response import Response

from scheduling.api.bodies import DIGEST, to_json
from scheduling.api.principal import principal_of
from scheduling.audit.models import IdempotencyRecord
from scheduling.errors import Conflict, NotValid, SchedulingError
from scheduling.instants import database_now

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
KEPT_FOR = timedelta(hours=24)
_LONGEST_KEY = 200
_WAIT_FOR_THE_FIRST = "10s"
_KEPT_HEADERS = ("ETag", "Location")

Handler = Callable[..., Response]


class KeyReused(SchedulingError):
    """This Idempotency-Key came with another request before."""

    code = "idempotency_key_reused"
    status = 422


class KeyInProgress(Conflict):
    """A request with this Idempotency-Key is being carried out."""

    code = "idempotency_key_in_progress"


def idempotent(handler: Handler) -> Handler:
    """Make a changing handler heed the header. Without the header it runs in a transaction of its operation only."""

    @functools.wraps(handler)
    def wrapper(view: Any, request: Request, *args: Any, **kwargs: Any) -> Response:
        key = request.headers.get(HEADER)
        if key is None:
            return handler(view, request, *args, **kwargs)
        _require_well_formed(key)
        fingerprint = _fingerprint(request)
        principal = principal_of(request)
        assert principal is not None, "a changing view has access"
        with transaction.atomic():
            _queue_up(principal.key, key)
            stored = _stored(principal.key, key)
            if stored is not None:
                return _replayed(stored, fingerprint)
            response = handler(view, request, *args, **kwargs)
            _store(principal.key, key, fingerprint, response)
        return response

    wrapper.is_idempotent = True  # type: ignore[attr-defined]
    return wrapper


def _require_well_formed(key: str) -> None:
    if not 1 <= len(key) <= _LONGEST_KEY or not key.isascii() or not key.isprintable():
        raise NotValid(
            f"An {HEADER} has 1 to {_LONGEST_KEY} printable ASCII characters.", hint="A fresh UUID is a good one."
        )


def _fingerprint(request: Request) -> str:
    # Reading the data makes the parser leave the digest of the raw body.
    _ = request.data
    text = "\n".join([request.method or "", request.get_full_path(), request.META.get(DIGEST, "")])
    # Keyed: a body may hold a secret, which a plain digest would let a reader of this table guess at.
    return salted_hmac("ordinaut.idempotency", text, algorithm="sha256").hexdigest()


def _queue_up(owner: str, key: str) -> None:
    """Hold the key until the transaction ends; KeyInProgress where the one before takes longer than ten seconds."""
    name = hashlib.sha256(f"{owner}\n{key}".encode()).digest()[:8]
    number = int.from_bytes(name, "big", signed=True)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", [_WAIT_FOR_THE_FIRST])
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [number])
            cursor.execute("SELECT set_config('lock_timeout', '0', true)")
    except OperationalError as error:
        if isinstance(error.__cause__, errors.LockNotAvailable):
            raise KeyInProgress(hint="Send it again in a moment.") from error
        raise


def _stored(owner: str, key: str) -> IdempotencyRecord | None:
    record = IdempotencyRecord.objects.filter(actor_id=owner, key=key).first()
    if record is not None and record.expires_at is not None and record.expires_at <= database_now():
        record.delete()
        return None
    return record


def _replayed(record: IdempotencyRecord, fingerprint: str) -> Response:
    if record.fingerprint != fingerprint:
        raise KeyReused(hint="Use a fresh key for another request; repeat the first one exactly to see its answer.")
    return Response(record.body, status=record.status, headers={**record.headers, REPLAYED: "true"})


def _store(owner: str, key: str, fingerprint: str, response: Response) -> None:
    now = database_now()
    IdempotencyRecord.objects.create(
        actor_id=owner,
        key=key,
        fingerprint=fingerprint,
        status=response.status_code,
        body=None if response.data is None else to_json(response.data),
        headers={name: response[name] for name in _KEPT_HEADERS if name in response},
        expires_at=now + KEPT_FOR,
    )
