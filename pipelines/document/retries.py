"""From the document's `retry` to a policy."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from pipelines.document.compilation import Compilation
from pipelines.document.nodes import Backoff, RetryPolicy

_DEFAULT_ATTEMPTS = 3


def compile_retry(source: Mapping[str, Any], pointer: str, compilation: Compilation) -> RetryPolicy:
    """`source` has the right shape; its durations may still be wrong."""
    default = RetryPolicy(max_attempts=_DEFAULT_ATTEMPTS)
    initial = compilation.duration(source, "initial", pointer)
    maximum = compilation.duration(source, "max", pointer)
    return RetryPolicy(
        max_attempts=int(source.get("max_attempts", default.max_attempts)),
        backoff=Backoff(source.get("backoff", default.backoff)),
        initial=default.initial if initial is None else initial,
        maximum=_maximum(initial, maximum, default.maximum),
        factor=float(source.get("factor", default.factor)),
        jitter=bool(source.get("jitter", default.jitter)),
        max_elapsed=compilation.duration(source, "max_elapsed", pointer),
        on=frozenset(source.get("on", default.on)),
    )


def _maximum(initial: timedelta | None, maximum: timedelta | None, default: timedelta) -> timedelta:
    """A cap that nobody wrote does not shorten an initial delay that somebody did."""
    if maximum is not None:
        return maximum
    return default if initial is None else max(default, initial)
