"""Reading what is due: the clock's look at the schedules."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from scheduling.calendars.exclusions import exclusions_of, in_order
from scheduling.clock import session
from scheduling.core.planning import MisfirePolicy
from scheduling.core.recurrence import Exclusions, Rule
from scheduling.postgres import binary_cursor
from scheduling.schedules.models import ScheduleKind

# Purpose: the schedules that are due, earliest first, and whether their task leaves nothing to decide at a start.
# Index: schedule_due_idx; the task's primary key. Locks: with `is_shared`, none that outlast the statement: SKIP LOCKED
# passes over those that another clock is firing right now. (A lone clock does not lock: marking 100,000 rows as locked
# writes each of them once more.) statement_timestamp() and not clock_timestamp(), which no index can be asked about.
READ_DUE = """
SELECT schedule.id, schedule.version, schedule.task_id, schedule.next_fire_at, schedule.kind, schedule.expression,
       schedule.timezone, schedule.starts_at, schedule.ends_at, schedule.exdates, schedule.rdates, schedule.gap,
       schedule.fold, schedule.jitter, schedule.misfire_policy, schedule.misfire_grace, schedule.misfire_limit,
       schedule.misfire_window, schedule.calendars, schedule.max_occurrences - schedule.fired_count,
       schedule.check_revision_id,
       task.overlap = 'allow' AND task.concurrency_key = '' AND task.dedupe_key = '' AND schedule.kind <> 'condition'
           AND schedule.max_occurrences IS NULL,
       COALESCE(%(now)s::timestamptz, statement_timestamp())
FROM scheduling_schedule schedule JOIN scheduling_task task ON task.id = schedule.task_id
WHERE schedule.state = 'active' AND schedule.held_at IS NULL
  AND schedule.next_fire_at <= COALESCE(%(now)s::timestamptz, statement_timestamp())
ORDER BY schedule.next_fire_at, schedule.id
OFFSET %(skip)s LIMIT %(batch)s
"""
READ_DUE_SHARED = READ_DUE + "FOR NO KEY UPDATE OF schedule SKIP LOCKED"
# Not those that are stepped over (see `scheduling.clock.isolation`), by their own ids or those of their tasks.
_OTHERS = "AND schedule.id <> ALL(%(stepped_over)s::uuid[]) AND schedule.task_id <> ALL(%(stepped_over)s::uuid[])\n"

# Purpose: how far the earliest mark is. Index: schedule_due_idx. Locks: none.
EARLIEST = """
SELECT EXTRACT(EPOCH FROM next_fire_at - clock_timestamp())
FROM scheduling_schedule schedule
WHERE state = 'active' AND held_at IS NULL AND next_fire_at IS NOT NULL
ORDER BY next_fire_at, id
LIMIT 1
"""

MOST_PLACES = 16
_MORE_THAN_AN_OFFSET = timedelta(days=3)


@dataclass(frozen=True, slots=True)
class DueSchedule:
    """A due schedule as it was read, in the order of the columns of `READ_DUE`.

    `remaining`: how many runs it may still have, None without a maximum. `is_plain`: it has none, and its task allows
    overlap and has no keys, so that a start of it is admitted without a decision. `known_calendars` holds those that
    exist among the `calendars` of all schedules that were read with it. `check_revision_id` is of a `condition`, whose
    occurrences are checks.
    """

    id: UUID
    version: int
    task_id: UUID
    next_fire_at: datetime
    kind: str
    expression: str
    timezone: str
    starts_at: datetime
    ends_at: datetime | None
    exdates: list[datetime]
    rdates: list[datetime]
    gap: str
    fold: str
    jitter: timedelta
    misfire_policy: str
    misfire_grace: timedelta
    misfire_limit: int
    misfire_window: timedelta | None
    calendars: list[UUID]
    remaining: int | None
    check_revision_id: UUID | None
    is_plain: bool
    now: datetime
    known_calendars: Mapping[UUID, Exclusions] = field(default_factory=dict, repr=False)

    @property
    def rule(self) -> Rule:
        """ScheduleError where a calendar that it names does not exist."""
        return Rule(
            kind=self.kind,
            expression=self.expression,
            timezone=self.timezone,
            starts_at=self._anchor,
            ends_at=self.ends_at,
            exdates=tuple(self.exdates),
            rdates=tuple(self.rdates),
            gap=self.gap or None,
            fold=self.fold or None,
            calendars=in_order(self.calendars, self.known_calendars),
        )

    @property
    def _anchor(self) -> datetime | None:
        """The anchor, where it can still matter. cron counts nothing from it: it only begins there, so that equal
        expressions that were saved on different days are one rule, compiled once."""
        has_begun = self.starts_at < self.next_fire_at.replace(tzinfo=None) - _MORE_THAN_AN_OFFSET
        return None if self.kind == ScheduleKind.CRON and has_begun else self.starts_at

    @property
    def misfire(self) -> MisfirePolicy:
        return MisfirePolicy(
            policy=self.misfire_policy,
            grace=self.misfire_grace,
            limit=self.misfire_limit,
            window=self.misfire_window,
        )

    @property
    def plan_key(self) -> tuple[Any, ...] | None:
        """What the plan depends on, for schedules that say nothing of their own; None for the others."""
        if self.jitter or self.exdates or self.rdates or self.calendars or self.remaining is not None:
            return None
        return (
            self.kind,
            self.expression,
            self.timezone,
            self._anchor,
            self.ends_at,
            self.gap,
            self.fold,
            self.misfire_policy,
            self.misfire_grace,
            self.misfire_limit,
            self.misfire_window,
            self.next_fire_at,
            self.now,
        )


_CALENDARS = [each.name for each in fields(DueSchedule)].index("calendars")


class Share:
    """Which part of a long queue of due schedules this clock reads next, so that several clocks seldom read the same.

    Nobody leads and nobody knows how many clocks there are. A clock whose plans were void because another had fired
    the same schedules begins its next read some batches further back, chosen by chance among twice as many places as
    before; one that met nobody halves them: Ethernet's binary exponential back-off, in space instead of time. Alone,
    it reads from the front and takes no locks.
    """

    def __init__(self, rng: random.Random | None = None) -> None:
        self._rng = rng or random.Random()  # noqa: S311 (nothing to guess: it spreads load)
        self._places = 1

    @property
    def is_contested(self) -> bool:
        return self._places > 1

    def note(self, *, lost: int) -> None:
        """`lost` plans of the last pass were void."""
        self._places = min(self._places * 2, MOST_PLACES) if lost else max(self._places // 2, 1)

    def batches_to_skip(self) -> int:
        return self._rng.randrange(self._places)


def read_due(
    *,
    now: datetime | None,
    batch: int,
    skip: int = 0,
    is_shared: bool = False,
    stepped_over: Sequence[UUID] = (),
) -> list[DueSchedule]:
    """The earliest due schedules, at most `batch` of them, without the first `skip` and without those that are
    stepped over. `now` None: the database's."""
    statement = _among_others(READ_DUE_SHARED if is_shared else READ_DUE, stepped_over)
    with session.bounded(), binary_cursor() as cursor:
        cursor.execute(statement, {"now": now, "batch": batch, "skip": skip, "stepped_over": list(stepped_over)})
        rows = cursor.fetchall()
        known = exclusions_of(each for row in rows for each in row[_CALENDARS])
    return [DueSchedule(*(*row, known)) for row in rows]


def seconds_to_earliest(*, stepped_over: Sequence[UUID] = ()) -> float | None:
    """How long until the next mark by the database's clock; not positive where one is due; None where none is."""
    with session.bounded() as cursor:
        cursor.execute(_among_others(EARLIEST, stepped_over), {"stepped_over": list(stepped_over)})
        row = cursor.fetchone()
    return None if row is None else float(row[0])


def _among_others(statement: str, stepped_over: Sequence[UUID]) -> str:
    return statement.replace("ORDER BY", f"{_OTHERS}ORDER BY") if stepped_over else statement
