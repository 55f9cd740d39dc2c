"""When a worker process has served long enough, and is replaced by a new one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import structlog

from workers.tally import SETTLED, SETTLED_SIMULATED

logger = structlog.get_logger(__name__)

_HANDED_BACK = (f"{SETTLED}handed_back", f"{SETTLED_SIMULATED}handed_back")


class Reason(StrEnum):
    """Why a process is replaced."""

    RUNS = "runs"
    MEMORY = "memory"
    OVERDUE = "overdue"
    LATE_TOOL = "late_tool"
    ABANDONED_TOOL = "abandoned_tool"


# Something in the process does not end, and its run waits for the end of the process.
_URGENT = frozenset({Reason.OVERDUE, Reason.LATE_TOOL})


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one process may serve: runs, and bytes of resident memory. 0 is no limit."""

    runs: int = 0
    memory: int = 0


class Wear:
    """What is known of one process. `reason` is None until it is to be replaced, and never taken back.

    `may_linger`: its runs may come to their end beside its follower; False where something in it does not end.
    """

    def __init__(self) -> None:
        self.reason: Reason | None = None
        self.memory: int | None = None
        self.words = ""
        self.may_linger = True
        self._is_too_large_from_birth: bool | None = None

    def find(self, reason: Reason, words: str) -> None:
        """It is to be replaced; the first reason stands, and any may make it urgent."""
        self.may_linger = self.may_linger and reason not in _URGENT
        if self.reason is None:
            self.reason, self.words = reason, words

    def blame(self, late: Sequence[str] = (), abandoned: Sequence[str] = ()) -> None:
        """Trusted tools that do not come back hold threads of the process for ever, and perhaps slots; abandoned ones
        go on in its event loop."""
        if late:
            self.find(Reason.LATE_TOOL, f"replaced, trusted tools do not return: {', '.join(late)}")
        if abandoned:
            self.find(Reason.ABANDONED_TOOL, f"replaced, tools go on after they were canceled: {', '.join(abandoned)}")

    def measure(self, *, counts: Mapping[str, float], memory: int | None, limits: Limits) -> None:
        """Judge a living process by what it has counted and by its resident memory; None where that is not known.

        A process that is above the limit at its first measure is never replaced for it: the next would be as large.
        """
        self.memory = memory
        settled = sum(count for name, count in counts.items() if name.startswith(SETTLED) and name not in _HANDED_BACK)
        if limits.runs and settled >= limits.runs:
            self.find(Reason.RUNS, f"replaced after {settled:.0f} runs")
        if not limits.memory or memory is None:
            return
        is_too_large = memory > limits.memory
        if self._is_too_large_from_birth is None:
            self._is_too_large_from_birth = is_too_large
            if is_too_large:
                logger.warning(
                    "worker.memory_limit_is_too_low",
                    limit_mib=limits.memory >> 20,
                    memory_mib=memory >> 20,
                    hint="A process is larger when it starts; raise ORDINAUT_WORKER_MAX_MEMORY. It is not replaced.",
                )
        if is_too_large and not self._is_too_large_from_birth:
            self.find(Reason.MEMORY, f"replaced above {limits.memory >> 20} MiB")
