"""What a step of a run does once, however often it is tried."""

import hashlib

from scheduling.audit.models import IdempotencyRecord


def begin_once(run_id: str, key: str) -> tuple[IdempotencyRecord, bool]:
    """The record of what was done under the key, and whether this is the first that does it: then it has to store its
    answer as the `body`. Another one under the same key is waited for. Within a transaction.

    It does not expire: a run that is redriven after months must not do it again. Retention deletes it with the run."""
    name = hashlib.sha256(key.encode()).hexdigest()
    return IdempotencyRecord.objects.get_or_create(
        actor_id=f"run:{run_id}",
        key=name,
        defaults={"fingerprint": name, "status": 202, "expires_at": None},
    )
