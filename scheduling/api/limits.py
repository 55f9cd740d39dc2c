"""Rate limits of agents, shared by all web processes through Redis.

The generic cell rate algorithm, in one script so that two processes cannot both take the last place: a bucket of
`requests_per_minute` that refills evenly. Redis carries limits, never truth: without it requests pass, and the log has
said so once (`scheduling.redis_client`).
"""

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from scheduling.api.principal import principal_of
from scheduling.redis_client import RedisUnavailableError, connected

if TYPE_CHECKING:
    # DRF reads its settings, which name this module, while its views are imported.
    from rest_framework.views import APIView

WINDOW = 60.0  # seconds
META_KEY = "ordinaut.rate"
# A Redis that hangs costs its time-out; so it is left alone for a while after a failure.
_REST_AFTER_FAILURE = 5.0

# KEYS[1]: the bucket. ARGV: places, window in microseconds. Answers: allowed (0, 1), places left, microseconds until
# a place is free, microseconds until all are. The clock is Redis's own.
_TAKE = """
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local places, window = tonumber(ARGV[1]), tonumber(ARGV[2])
local each = window / places
local full_at = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now)
local wanted = full_at + each
if wanted - now > window then
    return {0, 0, math.ceil(wanted - now - window), math.ceil(full_at - now)}
end
redis.call('SET', KEYS[1], string.format('%.0f', wanted), 'PX', math.ceil(window / 1000) + 1000)
return {1, math.floor((window - (wanted - now)) / each), 0, math.ceil(wanted - now)}
"""


@dataclass(frozen=True, slots=True)
class RateDecision:
    """What the bucket said. Times in seconds."""

    allowed: bool
    limit: int
    remaining: int
    retry_after: float
    reset_after: float

    def headers(self) -> dict[str, str]:
        return {
            "RateLimit-Limit": str(self.limit),
            "RateLimit-Remaining": str(self.remaining),
            "RateLimit-Reset": str(math.ceil(self.reset_after)),
            "RateLimit-Policy": f"{self.limit};w={int(WINDOW)}",
        }


def take(key: str, *, limit: int) -> RateDecision | None:
    """Take a place in the bucket; None where Redis cannot be asked, and then the request passes."""
    global _rest_until
    if time.monotonic() < _rest_until:
        return None
    try:
        with connected() as client:
            answer = client.eval(_TAKE, 1, f"ordinaut:rate:{key}", limit, int(WINDOW * 1_000_000))
    except RedisUnavailableError:
        _rest_until = time.monotonic() + _REST_AFTER_FAILURE
        return None
    allowed, remaining, retry_after, reset_after = answer
    return RateDecision(bool(allowed), limit, remaining, retry_after / 1e6, reset_after / 1e6)


_rest_until = 0.0


class AgentRate(BaseThrottle):
    """DRF's throttle over `take`. Operators are not limited: there are few of them, and they come by hand."""

    decision: RateDecision | None = None

    def allow_request(self, request: Request, view: "APIView") -> bool:
        principal = principal_of(request)
        agent = None if principal is None else principal.agent
        if agent is None:
            return True
        self.decision = take(str(agent.pk), limit=agent.requests_per_minute)
        request.META[META_KEY] = self.decision
        return self.decision is None or self.decision.allowed

    def wait(self) -> float | None:
        return None if self.decision is None else self.decision.retry_after
