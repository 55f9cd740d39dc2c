"""Time that passes only when somebody sleeps."""

import asyncio
from datetime import datetime, timedelta


class VirtualClock:
    """A clock of the engine. At `cancel_at` whoever sleeps, and whatever starts after, is cancelled."""

    def __init__(self, start: datetime, *, cancel_at: timedelta | None = None) -> None:
        self._start = start
        self._now = start
        self._cancel_at = None if cancel_at is None else start + cancel_at

    @property
    def elapsed(self) -> timedelta:
        return self._now - self._start

    def now(self) -> datetime:
        return self._now

    async def sleep(self, delay: timedelta) -> None:
        """Pass at once to the instant after `delay`. Raises CancelledError where the cancellation comes first."""
        self.advance_to(self._now + delay)

    def advance_to(self, instant: datetime) -> None:
        """Pass at once to `instant`. Raises CancelledError where the cancellation comes first."""
        if self._cancel_at is not None and instant >= self._cancel_at:
            self._now = max(self._now, self._cancel_at)
            raise asyncio.CancelledError
        self._now = instant
