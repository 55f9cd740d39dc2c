"""Waiting for a database that is away: one clear line when it goes, one a while, one when it is back."""

import asyncio
import random
import time

import structlog

logger = structlog.get_logger(__name__)

FIRST_WAIT = 0.1  # seconds
LONGEST_WAIT = 5.0
REPEAT_LINE_EVERY = 30.0


class Outage:
    """The present outage of one connection, if there is one. `event` names it in the log."""

    def __init__(self, event: str) -> None:
        self._event = event
        self._failures = 0
        self._began_at = 0.0
        self._told_at = 0.0

    @property
    def is_on(self) -> bool:
        return self._failures > 0

    async def wait(self, error: Exception) -> None:
        """Note a failure and sleep: longer each time, with jitter, so that a fleet does not return in step."""
        delay = self.note(error)
        await asyncio.sleep(delay * random.uniform(0.5, 1))  # noqa: S311  # nosec B311 - jitter is no secret

    def note(self, error: Exception) -> float:
        """Note a failure; returns how many seconds to wait before the next try."""
        now = time.monotonic()
        self._failures += 1
        if self._failures == 1:
            self._began_at = now
        if self._failures == 1 or now - self._told_at >= REPEAT_LINE_EVERY:
            self._told_at = now
            logger.warning(self._event, detail=str(error), failures=self._failures)
        doublings = min(self._failures - 1, 10)
        return min(FIRST_WAIT * float(2**doublings), LONGEST_WAIT)

    def over(self) -> None:
        """Note that it works; says so where it did not."""
        if self._failures:
            seconds = round(time.monotonic() - self._began_at, 1)
            logger.warning("database_is_back", after=self._event, failures=self._failures, seconds=seconds)
            self._failures = 0
