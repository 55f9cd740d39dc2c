"""Reading what is due: the clock's look at the schedules."""

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from scheduling.calendars.exclusions import exclusions_of, in_order
from scheduling.clock import session
from scheduling.clock.horizon import Horizon
from scheduling.clock.quarantine import quarantine, rows_of
from scheduling.core.planning import MisfirePolicy
from scheduling.core.recurrence import Exclusions, Rule, settled_anchor
from scheduling.schedules.models import ScheduleKind
from scheduling.schedules.rules import misfire_of

# Purpose: the schedules that are due, earliest first, and what their starts lock.
# Index: schedule_due_idx; the task's primary key. Locks: with `is_shared`, none that outlast the statement: SKIP LOCKED
# passes over those that another clock is firing right now. (A lone clock does not lock: marking 100,000 rows as locked
# writes each of them once more.) statement_timestamp() and not clock_timestamp(), which no index can be asked about.
_READ_DUE = """
SELECT schedule.id, schedule.version, schedule.task_id, schedule.next_fire_at, schedule.kind, schedule.expression,
       schedule.timezone, schedule.starts_at, schedule.ends_at, schedule.exdates, schedule.rdates, schedule.gap,
       schedule.fold, schedule.jitter, schedule.misfire_policy, schedule.misfire_grace, schedule.misfire_limit,
       schedule.misfire_window, schedule.calendars, schedule.max_occurrences - schedule.fired_count,
       schedule.check_revision_id,
       task.overlap <> 'allow',
       task.overlap = 'cancel_running',
       task.concurrency_key <> '' OR task.dedupe_key <> '',
       {now}
FROM scheduling_schedule schedule JOIN scheduling_task task ON task.id = schedule.task_id
WHERE schedule.state = 'active' AND schedule.held_at IS NULL
  AND schedule.next_fire_at <= {now}
ORDER BY schedule.next_fire_at, schedule.id
OFFSET {skip} LIMIT {batch}
"""
# Of those that are due, the ones that became so within the last so many seconds.
_RECENT = "AND schedule.next_fire_at > {now} - make_interval(secs => {seconds})\n"
_SHARED = "FOR NO KEY UPDATE OF schedule SKIP LOCKED\n"
# Not those that are stepped over (see `scheduling.clock.isolation`), by their own ids or those of their tasks.
_OTHERS = "AND schedule.id <> ALL(%(stepped_over)s::uuid[]) AND schedule.task_id <> ALL(%(stepped_over)s::uuid[])\n"

# Not those before a mark (see `scheduling.clock.horizon`).
_ABOVE = "AND schedule.next_fire_at >= %(floor)s\n"

# Purpose: how far the earliest mark is, and where, within the years that Python knows. Index: schedule_due_idx.
# Locks: none.
EARLIEST = """
SELECT EXTRACT(EPOCH FROM LEAST(GREATEST(next_fire_at, '0001-01-02 00:00 UTC'), '9999-12-30 00:00 UTC')
           - clock_timestamp()),
       LEAST(GREATEST(next_fire_at, '0001-01-02 00:00 UTC'), '9999-12-30 00:00 UTC'),
       clock_timestamp()
FROM scheduling_schedule schedule
WHERE state = 'active' AND held_at IS NULL AND next_fire_at IS NOT NULL
ORDER BY next_fire_at, id
LIMIT 1
"""

# The read's plan is kept, which saves a quarter of its time. One that was made while the tables were small may be bad
# for what they are now: a read of so many seconds has the plans made anew.
SLOW_READ = 0.02
_FORGET_PLANS = "DISCARD PLANS"

# Purpose: how far the earliest mark is that is still to come, whatever stands before it. Index: schedule_due_idx.
_TO_COME = EARLIEST.replace("next_fire_at IS NOT NULL", "next_fire_at > statement_timestamp()")

MOST_PLACES = 16


@dataclass(frozen=True, slots=True)
class DueSchedule:
    """A due schedule as it was read, in the order of the columns of `due_statement`.

    `remaining`: how many runs it may still have, None without a maximum. `is_exclusive`: a start locks its task.
    `cancels`: it may cancel the runs before it. `has_keys`: it may wait for the rows of keys. `known_calendars` holds
    those that exist among the `calendars` of all schedules that were read with it. `check_revision_id` is of a
    `condition`, whose occurrences are checks.
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
    is_exclusive: bool
    cancels: bool
    has_keys: bool
    now: datetime
    known_calendars: Mapping[UUID, Exclusions] = field(default_factory=dict, repr=False)

    @property
    def is_plain(self) -> bool:
        """True where a start of it is admitted without a decision: no check, no policy, no keys."""
        return not (self.is_exclusive or self.has_keys or self.is_condition)

    @property
    def may_be_alone(self) -> bool:
        """True where a start of it is admitted without a decision as long as no run of its task is live or waits."""
        return self.is_exclusive and not (self.has_keys or self.is_condition)

    @property
    def may_wait(self) -> bool:
        """True where a start may wait for other rows too, those of keys and those of runs that it cancels."""
        return self.cancels or self.has_keys

    @property
    def is_condition(self) -> bool:
        return self.kind == ScheduleKind.CONDITION

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
        """The anchor as far as it can still matter: equal expressions that were saved on different days are one rule,
        compiled and planned once."""
        return settled_anchor(self.kind, self.expression, self.starts_at, since=self.next_fire_at)

    @property
    def misfire(self) -> MisfirePolicy:
        return misfire_of(self)

    @property
    def plan_key(self) -> tuple[Any, ...] | None:
        """What the plan depends on, for schedules that say nothing of their own; None for the others."""
        if self.jitter or self.exdates or self.rdates or self.calendars:
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
            self.remaining,
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
    since: timedelta | None = None,
    is_shared: bool = False,
    stepped_over: Sequence[UUID] = (),
    horizon: Horizon | None = None,
) -> list[DueSchedule]:
    """The earliest due schedules, at most `batch` of them, without the first `skip` and without those that are
    stepped over; with `since`, of those alone that became due within that time. `now` None: the database's.

    Rows that cannot be read are quarantined with their reason."""
    with (horizon or Horizon()).look("due" if now is None else "ahead") as floor:
        is_usual = not (skip or since or is_shared or stepped_over or floor)
        statement = due_statement(
            is_now=now is None,
            batch=batch,
            skip=skip,
            since=since,
            is_shared=is_shared,
            is_stepping_over=bool(stepped_over),
            has_floor=floor is not None,
        )
        parameters = {"now": now, "floor": floor, "stepped_over": list(stepped_over)}
        with session.single_statement() as cursor:
            began = time.monotonic()
            cursor.execute(statement, parameters, prepare=is_usual)
            rows, unreadable = rows_of(cursor)
            if is_usual and time.monotonic() - began > SLOW_READ:
                cursor.execute(_FORGET_PLANS)
    for schedule_id, version, reason in unreadable:
        quarantine(schedule_id, version, reason)
    named = {each for row in rows for each in row[_CALENDARS]}
    if not named:
        return [DueSchedule(*row) for row in rows]
    with session.bounded():
        known = exclusions_of(named)
    return [DueSchedule(*(*row, known)) for row in rows]


def due_statement(
    *,
    is_now: bool,
    batch: int,
    skip: int = 0,
    since: timedelta | None = None,
    is_shared: bool = False,
    is_stepping_over: bool = False,
    has_floor: bool = False,
) -> str:
    """What is due by the database's clock (`is_now`) or at `now`; the other parameters are `stepped_over` and `floor`.

    The numbers are in the text, so that a plan that is kept was made for them and not for any.
    """
    moment = "statement_timestamp()" if is_now else "%(now)s::timestamptz"
    statement = _READ_DUE.format(now=moment, skip=int(skip), batch=int(batch))
    if since is not None:
        recent = _RECENT.format(now=moment, seconds=since.total_seconds())
        statement = statement.replace("ORDER BY", f"{recent}ORDER BY")
    if is_stepping_over:
        statement = _among_others(statement)
    if has_floor:
        statement = _above(statement)
    return statement + _SHARED if is_shared else statement


def earliest_mark(
    *, stepped_over: Sequence[UUID] = (), horizon: Horizon | None = None
) -> tuple[float, datetime] | None:
    """How many seconds it is to the next mark by the database's clock, not positive where one is due, and the mark."""
    horizon = horizon or Horizon()
    statement = _among_others(EARLIEST) if stepped_over else EARLIEST
    with horizon.look("earliest") as floor, session.single_statement() as cursor:
        statement = statement if floor is None else _above(statement)
        # A list that is known to the planner is hashed; a kept plan would go through it for each row.
        is_usual = not stepped_over and floor is None
        cursor.execute(statement, {"floor": floor, "stepped_over": list(stepped_over)}, prepare=is_usual)
        row = cursor.fetchone()
    if row is None:
        return None
    seconds, mark, now = float(row[0]), row[1], row[2]
    horizon.settled(now if seconds > 0 and not stepped_over else None)
    return seconds, mark


def seconds_to_next_to_come() -> float | None:
    """How long until the earliest mark that has not come yet; None where there is none."""
    with session.single_statement() as cursor:
        cursor.execute(_TO_COME, prepare=True)
        row = cursor.fetchone()
    return None if row is None else max(float(row[0]), 0.0)


def _among_others(statement: str) -> str:
    return statement.replace("ORDER BY", f"{_OTHERS}ORDER BY")


def _above(statement: str) -> str:
    return statement.replace("ORDER BY", f"{_ABOVE}ORDER BY")
