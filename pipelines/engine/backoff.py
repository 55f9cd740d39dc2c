"""How long to wait before the next attempt.

Exponential is `initial * factor ** (failures - 1)`, linear `initial * failures`, fixed `initial`; all capped. Jitter
multiplies by a random factor between a half and one, after the cap, so that a fleet that failed together spreads and
no delay grows beyond its cap.
"""

import math
from datetime import timedelta
from random import Random

from pipelines.document.nodes import Backoff, RetryPolicy

_LEAST_JITTER = 0.5


def delay_after(policy: RetryPolicy, failures: int, rng: Random) -> timedelta:
    """The delay after that many failures (1 or more)."""
    delay = _capped(policy, failures)
    return delay * rng.uniform(_LEAST_JITTER, 1) if policy.jitter else delay


def least_delay_after(policy: RetryPolicy, failures: int) -> timedelta:
    """The shortest delay that `delay_after` can give: what a resumed run, which knows no draw, has to keep."""
    delay = _capped(policy, failures)
    return delay * _LEAST_JITTER if policy.jitter else delay


def _capped(policy: RetryPolicy, failures: int) -> timedelta:
    if not policy.initial:  # nothing, however often it is multiplied
        return policy.initial
    seconds = policy.initial.total_seconds() * _growth(policy, failures)
    return timedelta(seconds=min(seconds, policy.maximum.total_seconds()))


def _growth(policy: RetryPolicy, failures: int) -> float:
    if policy.backoff is Backoff.EXPONENTIAL:
        try:
            return float(policy.factor) ** (failures - 1)
        except OverflowError:  # above every cap
            return math.inf
    return failures if policy.backoff is Backoff.LINEAR else 1
