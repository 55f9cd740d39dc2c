"""The values of a pass: a schedule with its plan, the lane in which it is written, and what was done."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from uuid import UUID

from scheduling.clock.due import DueSchedule
from scheduling.core.planning import Plan


class Lane(IntEnum):
    """What a start may have to wait for. Plans of two lanes share no transaction, so that those who need nothing of
    others never wait with those who do. They are written in this order."""

    PLAIN = 1  # one run, no policy, no key: one statement for all of them
    ALONE = 2  # one run of a task that allows no overlap, no key: one statement for those of which nothing is live
    FREE = 3  # no policy and no key either, but misses, several runs or a check
    EXCLUSIVE = 4  # locks its task; one that somebody holds is passed over without a wait
    WAITING = 5  # may wait for rows that cannot be passed over: keys, and the runs that it cancels


@dataclass(frozen=True, slots=True)
class PassResult:
    """What a pass did. `schedules` read; `lost`: plans that were void; `stepped_over`: left due, because somebody holds
    what they need; `held`: the tasks that somebody held; `undecided`: the schedules that the statement for lone starts
    left to their next lane; `is_full`: there may be more to do."""

    schedules: int = 0
    runs: int = 0
    skipped: int = 0
    missed: int = 0
    quarantined: int = 0
    lost: int = 0
    stepped_over: int = 0
    held: frozenset[UUID] = frozenset()
    undecided: frozenset[UUID] = frozenset()
    is_full: bool = False

    @property
    def is_fruitless(self) -> bool:
        """True where nothing was written: nothing was due, or others had it."""
        return not (self.runs or self.skipped or self.missed or self.quarantined)


@dataclass(frozen=True, slots=True)
class Planned:
    """A due schedule and what is to become of its occurrences."""

    schedule: DueSchedule
    plan: Plan

    @property
    def ids(self) -> tuple[UUID, UUID]:
        """What it may be stepped over by."""
        return self.schedule.id, self.schedule.task_id

    @property
    def is_stray(self) -> bool:
        """True where the rule does not name the mark, in a zone whose data may have changed (`clock.strays`)."""
        schedule = self.schedule
        return schedule.timezone != "UTC" and schedule.remaining != 0 and self.plan.first != schedule.next_fire_at

    @property
    def lane(self) -> Lane:
        if len(self.plan.fire) == 1 and not self.plan.missed:
            if self.schedule.is_plain:
                return Lane.PLAIN
            if self.schedule.may_be_alone:
                return Lane.ALONE
        return self.deciding_lane

    @property
    def deciding_lane(self) -> Lane:
        """Where a decision is taken for each start."""
        if self.schedule.may_wait:
            return Lane.WAITING
        return Lane.EXCLUSIVE if self.schedule.is_exclusive else Lane.FREE


def total(results: Sequence[PassResult]) -> PassResult:
    """What the parts of a pass did together."""
    return PassResult(
        runs=sum(result.runs for result in results),
        skipped=sum(result.skipped for result in results),
        missed=sum(result.missed for result in results),
        quarantined=sum(result.quarantined for result in results),
        lost=sum(result.lost for result in results),
        stepped_over=sum(result.stepped_over for result in results),
        held=frozenset[UUID]().union(*(result.held for result in results)),
        undecided=frozenset[UUID]().union(*(result.undecided for result in results)),
    )
