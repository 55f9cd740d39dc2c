"""Whether a clock is to be trusted with time, and what it knows about itself: the answer of `/readyz`.

The age of a pass is measured by the boot clock, which goes on while the host sleeps: a host that wakes up says that it
is late until a pass has succeeded.
"""

import threading
from collections.abc import Callable
from typing import Any

from scheduling import conf
from scheduling.clock import metrics
from scheduling.clock.accounting import latest_overdue
from scheduling.clock.faults import Fault
from scheduling.instants import boottime


class Readiness:
    """Written by the loop, read by the probe's threads."""

    def __init__(self, *, boottime: Callable[[], float] = boottime) -> None:
        self._boottime = boottime
        self._lock = threading.Lock()
        self._started_at = boottime()
        self._passed_at: float | None = None
        self._failures = 0
        self._fault: Fault | None = None
        self._skew: float | None = None
        metrics.PASS_AGE_SECONDS.set_function(self.pass_age)

    def passed(self) -> int:
        """A whole pass is over. Returns how many failures there were since the last one."""
        with self._lock:
            self._passed_at = self._boottime()
            failures, self._failures, self._fault = self._failures, 0, None
            return failures

    def failed(self, fault: Fault) -> int:
        """A pass broke off. Returns how many have, in a row."""
        with self._lock:
            self._failures += 1
            self._fault = fault
            return self._failures

    def measured(self, skew: float) -> None:
        """This host's clock less the database's, in seconds."""
        with self._lock:
            self._skew = skew

    def pass_age(self) -> float:
        """Seconds since the last whole pass; since the start where there was none yet."""
        return self._boottime() - (self._started_at if self._passed_at is None else self._passed_at)

    @property
    def is_ready(self) -> bool:
        """True where the last whole pass is not older than its budget."""
        return self._passed_at is not None and self.pass_age() <= conf.clock_pass_budget().total_seconds()

    def answer(self) -> tuple[bool, dict[str, Any]]:
        """What the probe tells. The kind of the last failure, not its text: that may name hosts and values."""
        is_ready = self.is_ready
        overdue = latest_overdue()
        with self._lock:
            return is_ready, {
                "last_pass_seconds_ago": None if self._passed_at is None else round(self.pass_age(), 3),
                "budget_seconds": conf.clock_pass_budget().total_seconds(),
                "failures": self._failures,
                "last_failure": None if self._fault is None else self._fault.value,
                "database": self._database(is_ready),
                "overdue_schedules": None if overdue is None else overdue.count,
                "oldest_overdue_seconds": None if overdue is None else round(overdue.oldest_seconds, 1),
                "skew_seconds": None if self._skew is None else round(self._skew, 3),
            }

    def _database(self, is_ready: bool) -> str:
        """What the last pass says of the database. One that is late, and has not failed, waits for an answer."""
        if self._fault in (Fault.CONNECTION, Fault.SERVER):
            return "down"
        if is_ready or self._fault is not None:
            return "ok"
        return "silent" if self.pass_age() > conf.clock_pass_budget().total_seconds() else "unknown"
