"""One pass of the clock. See the package's docstring for why it is safe."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog

from scheduling.clock import session
from scheduling.clock.faults import Fault, fault_of
from scheduling.clock.isolation import Isolation, SteppedOver
from scheduling.clock.points import reach
from scheduling.core.planning import MisfirePolicy, Plan, plan
from scheduling.core.recurrence import Rule, ScheduleError, compile_rule
from scheduling.runs.admission import Admitted, Start, admit, lock_exclusive_tasks
from scheduling.runs.states import RunState, TriggerKind

logger = structlog.get_logger(__name__)

DEFAULT_BATCH = 500

# Purpose: the schedules that are due, earliest first. Index: schedule_due_idx.
# Locks: none that outlast the statement; SKIP LOCKED passes over those that another clock is firing right now.
_READ_DUE = """
SELECT id, version, task_id, next_fire_at, kind, expression, timezone, starts_at, ends_at, exdates, rdates,
       gap, fold, jitter, misfire_policy, misfire_grace, misfire_limit, misfire_window,
       COALESCE(%(now)s, clock_timestamp())
FROM scheduling_schedule
WHERE state = 'active' AND held_at IS NULL AND next_fire_at <= COALESCE(%(now)s, clock_timestamp())
  AND id <> ALL(%(stepped_over)s::uuid[]) AND task_id <> ALL(%(stepped_over)s::uuid[])
ORDER BY next_fire_at, id
LIMIT %(batch)s
FOR NO KEY UPDATE SKIP LOCKED
"""

# Purpose: keep the plans that still hold. Index: primary key. Locks: the schedules; one that somebody else holds is
# left to them, its plan is void.
_LOCK_PLANNED = """
SELECT schedule.id
FROM scheduling_schedule schedule
JOIN unnest(%s::uuid[], %s::bigint[]) AS planned (id, version) USING (id)
WHERE schedule.version = planned.version AND schedule.state = 'active' AND schedule.held_at IS NULL
ORDER BY schedule.id
FOR NO KEY UPDATE OF schedule SKIP LOCKED
"""

# Purpose: move the marks. Index: primary key. Locks: rows that are locked already.
_ADVANCE = """
UPDATE scheduling_schedule schedule
SET next_fire_at = moved.next_fire_at,
    state = CASE WHEN moved.next_fire_at IS NULL THEN 'completed' ELSE schedule.state END,
    last_fired_at = COALESCE(moved.last_fired_at, schedule.last_fired_at),
    fired_count = schedule.fired_count + moved.fired,
    missed_count = schedule.missed_count + moved.missed,
    skipped_count = schedule.skipped_count + moved.skipped,
    version = schedule.version + 1
FROM unnest(%s::uuid[], %s::timestamptz[], %s::timestamptz[], %s::int[], %s::int[], %s::int[])
    AS moved (id, next_fire_at, last_fired_at, fired, missed, skipped)
WHERE schedule.id = moved.id
"""

_RECORD_MISSES = """
INSERT INTO scheduling_miss (schedule_id, first_at, last_at, count, is_at_least, reason, recorded_at)
SELECT *, now()
FROM unnest(%s::uuid[], %s::timestamptz[], %s::timestamptz[], %s::int[], %s::bool[], %s::text[])
"""

_QUARANTINE = """
UPDATE scheduling_schedule SET state = 'quarantined', state_reason = %s, version = version + 1, updated_at = now()
WHERE id = %s AND version = %s AND state = 'active'
"""

_EARLIEST = """
SELECT EXTRACT(EPOCH FROM next_fire_at - clock_timestamp())
FROM scheduling_schedule
WHERE state = 'active' AND held_at IS NULL AND next_fire_at IS NOT NULL
  AND id <> ALL(%(stepped_over)s::uuid[]) AND task_id <> ALL(%(stepped_over)s::uuid[])
ORDER BY next_fire_at, id
LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class DueSchedule:
    """A due schedule as it was read, in the order of the columns of `_READ_DUE`."""

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
    now: datetime

    @property
    def rule(self) -> Rule:
        return Rule(
            kind=self.kind,
            expression=self.expression,
            timezone=self.timezone,
            starts_at=self.starts_at,
            ends_at=self.ends_at,
            exdates=tuple(self.exdates),
            rdates=tuple(self.rdates),
            gap=self.gap or None,
            fold=self.fold or None,
        )

    @property
    def misfire(self) -> MisfirePolicy:
        return MisfirePolicy(
            policy=self.misfire_policy,
            grace=self.misfire_grace,
            limit=self.misfire_limit,
            window=self.misfire_window,
        )


@dataclass(frozen=True, slots=True)
class PassResult:
    """What a pass did. `schedules` read; `stepped_over`: left due, because somebody holds what they need; `is_full`:
    the batch was full, so there may be more."""

    schedules: int = 0
    runs: int = 0
    skipped: int = 0
    missed: int = 0
    quarantined: int = 0
    stepped_over: int = 0
    is_full: bool = False

    @property
    def is_fruitless(self) -> bool:
        """True where nothing was written: nothing was due, or others had it."""
        return not (self.runs or self.skipped or self.missed or self.quarantined)


@dataclass(frozen=True, slots=True)
class _Planned:
    schedule: DueSchedule
    plan: Plan


def run_pass(
    *, now: datetime | None = None, batch: int = DEFAULT_BATCH, stepped_over: SteppedOver | None = None
) -> PassResult:
    """Fire what is due and return what was done. `now` None is the database's clock.

    Opens its own transactions, none of them longer than a batch's writes. A schedule that cannot be planned, or whose
    writes the database refuses, is quarantined with its reason; one whose task somebody has locked is stepped over,
    and `stepped_over` remembers it from pass to pass; the rest of the batch goes on. Errors of the connection, of the
    server and of a database that waits for locks everywhere are the caller's: nothing is lost by them.
    """
    left_alone = SteppedOver() if stepped_over is None else stepped_over
    reach("before-read")
    due = read_due(now=now, batch=batch, stepped_over=left_alone.now())
    reach("after-read")
    planned: list[_Planned] = []
    quarantined = 0
    for schedule in due:
        try:
            planned.append(_Planned(schedule, plan_schedule(schedule)))
        except ScheduleError as error:
            quarantined += quarantine(schedule, f"{error.code}: {error.detail}")
        except Exception as error:
            logger.exception("schedule.cannot_be_planned", schedule=str(schedule.id))
            quarantined += quarantine(schedule, f"cannot be planned: {type(error).__name__}")
    reach("after-plan")
    fired = _fire_all(planned, left_alone)
    return PassResult(
        schedules=len(due),
        runs=sum(part.runs for part in fired),
        skipped=sum(part.skipped for part in fired),
        missed=sum(part.missed for part in fired),
        quarantined=quarantined + sum(part.quarantined for part in fired),
        stepped_over=sum(part.stepped_over for part in fired),
        is_full=len(due) == batch,
    )


def read_due(*, now: datetime | None, batch: int, stepped_over: Sequence[UUID] = ()) -> list[DueSchedule]:
    """The earliest due schedules, at most `batch` of them, without those (and those of tasks) that are stepped over."""
    with session.bounded() as cursor:
        cursor.execute(_READ_DUE, {"now": now, "batch": batch, "stepped_over": list(stepped_over)})
        return [DueSchedule(*row) for row in cursor.fetchall()]


def plan_schedule(schedule: DueSchedule) -> Plan:
    """Decide what becomes of the occurrences up to `schedule.now`. Pure; raises ScheduleError."""
    return plan(
        compile_rule(schedule.rule),
        misfire=schedule.misfire,
        next_fire_at=schedule.next_fire_at,
        now=schedule.now,
        jitter=schedule.jitter,
        seed=str(schedule.id),
    )


def quarantine(schedule: DueSchedule, reason: str) -> int:
    """Set a schedule aside so that it holds nothing up; return 0 where it has changed since it was read."""
    with session.bounded() as cursor:
        cursor.execute(_QUARANTINE, [reason[:500], schedule.id, schedule.version])
        count = cursor.rowcount
    if count:
        logger.error("schedule.quarantined", schedule=str(schedule.id), task=str(schedule.task_id), reason=reason)
    return int(count)


def seconds_to_earliest(*, stepped_over: Sequence[UUID] = ()) -> float | None:
    """How long until the next mark by the database's clock; not positive where one is due; None where none is."""
    with session.bounded() as cursor:
        cursor.execute(_EARLIEST, {"stepped_over": list(stepped_over)})
        row = cursor.fetchone()
    return None if row is None else float(row[0])


def _fire_all(planned: Sequence[_Planned], left_alone: SteppedOver) -> list[PassResult]:
    """Write the plans, each of them in some transaction. Those that were stepped over before come last, and one by
    one: they may well be blocked still, and must not delay the others again."""

    def fire_rest(items: Sequence[_Planned]) -> PassResult:
        rest = [item for item in items if not left_alone.leaves_alone(item.schedule.id, item.schedule.task_id)]
        fired = fire(rest) if rest else PassResult()
        left_alone.forget(id_ for item in rest for id_ in (item.schedule.id, item.schedule.task_id))
        return replace(fired, stepped_over=len(items) - len(rest))

    def step_over(item: _Planned, error: Exception) -> PassResult:
        # What a schedule waits for is its task, or a key of its task.
        is_locked = fault_of(error) is Fault.LOCK_TIMEOUT
        left_alone.add([item.schedule.task_id if is_locked else item.schedule.id])
        return _stepped_over(item, error)

    isolation = Isolation(fire=fire_rest, quarantine=_refused, step_over=step_over)
    suspects = [item for item in planned if left_alone.knows(item.schedule.id, item.schedule.task_id)]
    others = [item for item in planned if item not in suspects] if suspects else planned
    results = isolation.run(others)
    with session.hurried():
        for item in suspects:
            results += isolation.run([item])
    return results


def _refused(item: _Planned, error: Exception) -> PassResult:
    logger.error("schedule.cannot_be_fired", schedule=str(item.schedule.id), exc_info=error)
    return PassResult(quarantined=quarantine(item.schedule, f"cannot be fired: {type(error).__name__}: {error}"))


def _stepped_over(item: _Planned, error: Exception) -> PassResult:
    fault = fault_of(error)
    trace = error if fault is Fault.UNEXPECTED else None
    logger.warning(
        "schedule.stepped_over",
        schedule=str(item.schedule.id),
        task=str(item.schedule.task_id),
        fault=fault,
        hint="It is still due and is tried again.",
        exc_info=trace,
    )
    return PassResult(stepped_over=1)


def fire(planned: Sequence[_Planned]) -> PassResult:
    """Admit the planned runs and move the marks, in one transaction. Plans that no longer hold change nothing."""
    with session.bounded() as cursor:
        # Tasks before schedules: an operation that pauses a task locks in this order too.
        lock_exclusive_tasks(cursor, sorted({item.schedule.task_id for item in planned}))
        cursor.execute(
            _LOCK_PLANNED, [[item.schedule.id for item in planned], [item.schedule.version for item in planned]]
        )
        held = {schedule_id for (schedule_id,) in cursor.fetchall()}
        reach("after-lock")
        valid = [item for item in planned if item.schedule.id in held]
        starts = [_start(item.schedule, firing) for item in valid for firing in item.plan.fire]
        admitted = admit(cursor, starts)
        reach("after-admit")
        _record_misses(cursor, valid)
        reach("after-misses")
        result = _advance(cursor, valid, starts, admitted)
        reach("before-commit")
    reach("after-commit")
    return result


def _start(schedule: DueSchedule, firing: Any) -> Start:
    return Start(
        task_id=schedule.task_id,
        trigger_kind=TriggerKind.SCHEDULE,
        schedule_id=schedule.id,
        scheduled_for=firing.scheduled_for,
        available_at=firing.available_at,
    )


def _record_misses(cursor: Any, valid: Sequence[_Planned]) -> None:
    rows = [
        (item.schedule.id, missed.first, missed.last, missed.count, missed.at_least, missed.reason)
        for item in valid
        for missed in item.plan.missed
    ]
    if rows:
        cursor.execute(_RECORD_MISSES, [list(column) for column in zip(*rows, strict=True)])


def _advance(
    cursor: Any, valid: Sequence[_Planned], starts: Sequence[Start], admitted: Sequence[Admitted]
) -> PassResult:
    fired: dict[UUID, int] = {}
    skipped: dict[UUID, int] = {}
    for start, result in zip(starts, admitted, strict=True):
        if result.run_id is None or start.schedule_id is None:
            continue
        counts = skipped if result.state is RunState.SKIPPED else fired
        counts[start.schedule_id] = counts.get(start.schedule_id, 0) + 1
    missed = {item.schedule.id: sum(span.count for span in item.plan.missed) for item in valid}
    if valid:
        cursor.execute(
            _ADVANCE,
            [
                [item.schedule.id for item in valid],
                [item.plan.next_fire_at for item in valid],
                [item.plan.fire[-1].scheduled_for if item.plan.fire else None for item in valid],
                [fired.get(item.schedule.id, 0) for item in valid],
                [missed[item.schedule.id] for item in valid],
                [skipped.get(item.schedule.id, 0) for item in valid],
            ],
        )
    return PassResult(runs=sum(fired.values()), skipped=sum(skipped.values()), missed=sum(missed.values()))
