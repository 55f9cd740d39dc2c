"""Errors of tools such that they can be journaled and sent: a failure is told, and retried, whatever its words."""

import math
from collections.abc import Mapping
from typing import Any

import orjson

from pipelines.errors import ErrorClass, PipelineError
from pipelines.secrets.redaction import redacted_error
from pipelines.tools.plain_text import cut, storable, with_storable_texts

LONGEST_DETAIL = 10_000  # characters
_LONGEST_NAME = 200  # characters of a code, a step or a pointer
_LARGEST_CAUSE = 32 * 1024  # bytes of JSON
_LONGEST_WAIT = 366 * 86_400.0  # seconds; no wait that is asked for is longer


def told_by(error: BaseException, *, longest: int = LONGEST_DETAIL) -> PipelineError | None:
    """The failure that a tool tells by a PipelineError; None for other exceptions, and where a class of the tool's own
    has made its fields unreadable."""
    if not isinstance(error, PipelineError):
        return None
    try:
        return storable_error(error, longest=longest)
    except Exception:  # noqa: BLE001 - see above
        return None


def storable_error(error: PipelineError, *, longest: int = LONGEST_DETAIL) -> PipelineError:
    """The same failure as a plain PipelineError whose fields have the types that they say.

    NUL and halves of surrogate pairs become U+FFFD, `detail` has at most `longest` characters; a cause that is no JSON
    or larger than 32 KB is left out, a class that there is not is `internal`. Raises whatever an attribute of a tool's
    own class raises.
    """
    told = PipelineError(
        code=storable(str(error.code)),
        error_class=_class_of(error.error_class),
        detail=storable(str(error.detail)),
        step=_name(error.step),
        attempt=error.attempt if isinstance(error.attempt, int) else None,
        pointer=_name(error.pointer),
        retry_after=_seconds(error.retry_after),
        cause=_portable_cause(error.cause),
        extra=_mapping(error.extra),
    )
    # Before anything is cut: of a secret at the cut the rest would not be known.
    told = redacted_error(told)
    told.code, told.detail = cut(told.code, _LONGEST_NAME), cut(told.detail, longest)
    if told.cause is not None and len(orjson.dumps(told.cause)) > _LARGEST_CAUSE:
        told.cause = None
    return told


def _class_of(given: Any) -> ErrorClass:
    try:
        return ErrorClass(given)
    except ValueError:
        return ErrorClass.INTERNAL


def _name(given: Any) -> str | None:
    return None if given is None else cut(storable(str(given)), _LONGEST_NAME)


def _mapping(given: object) -> Mapping[str, Any]:
    return given if isinstance(given, Mapping) else {}


def _seconds(given: object) -> float | None:
    """A number of seconds that JSON has a form for, None where it is no number."""
    if isinstance(given, bool) or not isinstance(given, int | float) or math.isnan(given):
        return None
    return max(-_LONGEST_WAIT, min(given, _LONGEST_WAIT))


def _portable_cause(cause: Any) -> dict[str, Any] | None:
    """A copy through JSON; None for what is none, or no object."""
    try:
        copy = orjson.loads(orjson.dumps(with_storable_texts(cause), option=orjson.OPT_STRICT_INTEGER))
    except (TypeError, ValueError, RecursionError):
        return None
    return copy if isinstance(copy, dict) else None
