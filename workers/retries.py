"""The retry policy of a whole run, which a task keeps in the document's form. The arithmetic is the engine's."""

from collections.abc import Mapping
from typing import Any

from pipelines.document.nodes import NO_RETRY, Backoff, RetryPolicy
from scheduling.definitions.durations import parse_duration

_DEFAULT = RetryPolicy(max_attempts=3)


def parse_retry(retry: Mapping[str, Any] | None) -> RetryPolicy:
    """Read a stored policy; what is missing has the document's defaults, and no policy at all is no retry.

    Raises ValueError, TypeError for a form that operations would have refused.
    """
    if not retry:
        return NO_RETRY
    initial = parse_duration(retry["initial"]) if "initial" in retry else _DEFAULT.initial
    maximum = parse_duration(retry["max"]) if "max" in retry else max(_DEFAULT.maximum, initial)
    elapsed = retry.get("max_elapsed")
    return RetryPolicy(
        max_attempts=int(retry.get("max_attempts", _DEFAULT.max_attempts)),
        backoff=Backoff(retry.get("backoff", _DEFAULT.backoff)),
        initial=initial,
        maximum=maximum,
        factor=float(retry.get("factor", _DEFAULT.factor)),
        jitter=bool(retry.get("jitter", _DEFAULT.jitter)),
        max_elapsed=None if elapsed is None else parse_duration(elapsed),
        on=frozenset(str(name) for name in retry.get("on", _DEFAULT.on)),
    )
