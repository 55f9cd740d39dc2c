"""One pass of the clock. See the package's docstring for why it is safe."""

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache, partial
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfoNotFoundError

import structlog
from django.db import DataError

from scheduling.clock import metrics, session
from scheduling.clock.at_once import fire_alone_plans, fire_plain_plans
from scheduling.clock.due import DueSchedule, Share, read_due
from scheduling.clock.faults import Fault
from scheduling.clock.horizon import Horizon
from scheduling.clock.isolation import SteppedOver
from scheduling.clock.lanes import Lanes, Ways
from scheduling.clock.planned import PassResult, Planned, total
from scheduling.clock.points import reach
from scheduling.clock.quarantine import quarantine
from scheduling.clock.strays import earlier_mark, is_young
from scheduling.clock.zones import is_outdated
from scheduling.core.planning import Plan, plan
from scheduling.core.recurrence import ScheduleError, compile_rule
from scheduling.runs.admission import Admitted, Start, admit, lock_free_tasks, lock_tasks
from scheduling.runs.states import RunState, TriggerKind

logger = structlog.get_logger(__name__)

DEFAULT_BATCH = 2000
# Seconds of planning after which a batch is written as far as it is planned: rules that are dear to plan delay the
# others by no more than this.
PLANNING_TIME = 0.5
# Starts of a pass, after which a batch is written as far as it is planned: after days of downtime under the policy
# `all` each schedule may have hundreds.
STARTS_OF_PASS = 5000
# What planning may raise by no fault of the rule: no file descriptor is left to read the zone's data, say. (A name that
# is no zone is a ScheduleError; one that is known and cannot be found is a damaged installation.)
_OF_THIS_PROCESS = (OSError, MemoryError, ImportError, ZoneInfoNotFoundError)
# A mark that is older belongs to the backlog: what is on time is planned and written before it.
ON_TIME = timedelta(seconds=5)

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

# Purpose: move the marks; a schedule that has had its last run is completed here, where it is known how many of the
# planned starts became runs. Index: primary key. Locks: rows that are locked already.
_ADVANCE = """
UPDATE scheduling_schedule schedule
SET next_fire_at = CASE
        WHEN schedule.fired_count + moved.fired >= schedule.max_occurrences THEN NULL ELSE moved.next_fire_at
    END,
    state = CASE
        WHEN moved.next_fire_at IS NULL OR schedule.fired_count + moved.fired >= schedule.max_occurrences
        THEN 'completed' ELSE schedule.state
    END,
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


# Purpose: what inserts and updates lock of a whole table. Locks: that, until the end of the statement.
_MAY_WRITE = """
LOCK TABLE scheduling_schedule, scheduling_run, scheduling_duework, scheduling_miss IN ROW EXCLUSIVE MODE
"""


def run_pass(
    *,
    now: datetime | None = None,
    batch: int = DEFAULT_BATCH,
    share: Share | None = None,
    stepped_over: SteppedOver | None = None,
    horizon: Horizon | None = None,
) -> PassResult:
    """Fire what is due and return what was done. `now` None is the database's clock; `share`, `stepped_over` and
    `horizon` are the clock's own, and remember from pass to pass.

    Opens its own transactions, none of them longer than a batch's writes. A schedule that cannot be planned, or whose
    writes the database refuses, is quarantined with its reason; one whose task somebody has locked, or that this
    process lacks the means to plan, is stepped over; the rest of the batch goes on. Errors of the connection, of the
    server, and of locks that hold up everything are the caller's: nothing is lost by them.
    """
    left_alone = SteppedOver() if stepped_over is None else stepped_over
    skipped_batches = share.batches_to_skip() if share else 0
    is_shared = share is not None and share.is_contested
    reach("before-read")
    read = partial(read_due, now=now, batch=batch, is_shared=is_shared, stepped_over=left_alone.now(), horizon=horizon)
    due = read(skip=skipped_batches * batch)
    on_time, backlog = _by_age(due)
    if backlog and len(due) == batch:
        # There may be more than the backlog lets see.
        on_time = read(since=ON_TIME)
    on_time, backlog = _tasks_together(on_time, backlog)
    reach("after-read")
    ways = Ways(plain=fire_plain_plans, alone=fire_alone_plans, passing=fire, patient=_fire_patiently, refused=_refused)
    lanes = Lanes(ways, left_alone)
    written: list[PassResult] = []
    taken = 0
    for part in (on_time, backlog) if on_time and backlog else (due,):
        planned, set_aside = _plan_all(part, left_alone)
        reach("after-plan")
        written += [replace(set_aside, schedules=0), *lanes.write(planned)]
        taken += len(planned) + set_aside.schedules
    done = total(written)
    if share is not None:
        # Tasks that somebody holds are another clock's, where they are most of a full batch.
        others = len(done.held) if len(due) == batch and 2 * len(done.held) > taken else 0
        share.note(lost=done.lost + others)
    return PassResult(
        schedules=len(on_time) + len(backlog),
        runs=done.runs,
        skipped=done.skipped,
        missed=done.missed,
        quarantined=done.quarantined,
        lost=done.lost,
        stepped_over=done.stepped_over,
        held=done.held,
        is_full=len(due) == batch or skipped_batches > 0 or taken < len(due),
    )


def require_tables() -> None:
    """Raise the lock time-out of a table that nobody can write to. Where all that is due waits for it, each schedule
    looks as if somebody held it alone, and a clock that steps over them as if it were well."""
    with session.hurried(), session.bounded() as cursor:
        cursor.execute(_MAY_WRITE)


def _by_age(due: Sequence[DueSchedule]) -> tuple[list[DueSchedule], list[DueSchedule]]:
    """Those that are on time, and the backlog."""
    on_time: list[DueSchedule] = []
    backlog: list[DueSchedule] = []
    for schedule in due:
        (on_time if schedule.now - schedule.next_fire_at < ON_TIME else backlog).append(schedule)
    return on_time, backlog


def _tasks_together(
    on_time: list[DueSchedule], backlog: list[DueSchedule]
) -> tuple[list[DueSchedule], list[DueSchedule]]:
    """The same, what is on time of an exclusive task behind what is late of it: the policy sees them in their order."""
    late = {schedule.task_id for schedule in backlog if schedule.is_exclusive}
    if not late:
        return on_time, backlog
    waits = [schedule for schedule in on_time if schedule.task_id in late]
    return [schedule for schedule in on_time if schedule.task_id not in late], backlog + waits


def _plan_all(due: Sequence[DueSchedule], left_alone: SteppedOver) -> tuple[list[Planned], PassResult]:
    """Plan what the time allows, and set aside what cannot be planned; equal schedules are planned once."""
    ends_at = time.monotonic() + PLANNING_TIME
    plans: dict[Any, Plan] = {}
    planned: list[Planned] = []
    tried = quarantined = stepped_over = starts = 0
    for schedule in due:
        if starts > STARTS_OF_PASS:
            break
        known = None
        try:
            key = schedule.plan_key
            known = plans.get(key) if key is not None else None
            if known is None:
                if time.monotonic() > ends_at:
                    break
                known = _plan_twice(schedule)
                if key is not None:
                    plans[key] = known
        except ScheduleError as error:
            quarantined += quarantine(schedule.id, schedule.version, f"{error.code}: {error.detail}")
        except _OF_THIS_PROCESS as error:
            _put_off(schedule, error, left_alone)
            stepped_over += 1
        except Exception as error:
            logger.exception("schedule.cannot_be_planned", schedule=str(schedule.id))
            reason = f"cannot be planned: {type(error).__name__}"
            quarantined += quarantine(schedule.id, schedule.version, reason)
        if known is None:
            tried += 1
            continue
        planned.append(Planned(schedule, known))
        starts += len(known.fire)
    planned, strays = _settle_strays(planned, left_alone)
    return planned, PassResult(
        schedules=tried + strays.schedules,
        quarantined=quarantined + strays.quarantined,
        stepped_over=stepped_over + strays.stepped_over,
    )


def _settle_strays(planned: list[Planned], left_alone: SteppedOver) -> tuple[list[Planned], PassResult]:
    """Plan those whose rule does not name their mark from the occurrence on that it has passed over, if any. Return the
    plans, and how many were set aside or left to clocks with newer zone data. What the time does not allow stays due.
    """
    if not any(item.is_stray for item in planned):
        return planned, PassResult()
    ends_at = time.monotonic() + PLANNING_TIME
    is_for_others = cache(is_outdated)
    settled: list[Planned] = []
    left = quarantined = 0
    for item in planned:
        if not item.is_stray:
            settled.append(item)
        elif is_young(item.schedule) and is_for_others():
            left_alone.add([item.schedule.id])
            left += 1
        elif time.monotonic() <= ends_at:
            try:
                settled.append(_settled(item))
            except (ScheduleError, DataError, ValueError, ArithmeticError) as error:
                quarantined += quarantine(
                    item.schedule.id, item.schedule.version, f"cannot be planned: {type(error).__name__}: {error}"
                )
    return settled, PassResult(schedules=left + quarantined, quarantined=quarantined, stepped_over=left)


def _settled(item: Planned) -> Planned:
    earlier = earlier_mark(item.schedule)
    if earlier is None:
        return item
    return Planned(item.schedule, plan_schedule(replace(item.schedule, next_fire_at=earlier)))


def _plan_twice(schedule: DueSchedule) -> Plan:
    """Plan; after an error that nobody expected once more. Planning is pure: what its input is to blame for repeats."""
    try:
        return plan_schedule(schedule)
    except (ScheduleError, *_OF_THIS_PROCESS):
        raise
    except Exception:
        logger.exception("schedule.planned_again", schedule=str(schedule.id))
        return plan_schedule(schedule)


def _put_off(schedule: DueSchedule, error: Exception, left_alone: SteppedOver) -> None:
    """Leave it due, and alone for a while. Raises the error where there are too many to remember: it concerns all."""
    left_alone.add([schedule.id])
    if not left_alone.knows(schedule.id):
        raise error
    fault = Fault.UNEXPECTED
    metrics.FAULTS.labels(fault.value).inc()
    logger.warning("schedule.stepped_over", schedule=str(schedule.id), fault=fault, detail=repr(error)[:300])


def plan_schedule(schedule: DueSchedule) -> Plan:
    """Decide what becomes of the occurrences up to `schedule.now`. Pure; raises ScheduleError."""
    return plan(
        compile_rule(schedule.rule),
        misfire=schedule.misfire,
        next_fire_at=schedule.next_fire_at,
        now=schedule.now,
        jitter=schedule.jitter,
        seed=str(schedule.id),
        remaining=schedule.remaining,
    )


def _refused(item: Planned, error: Exception) -> PassResult:
    schedule = item.schedule
    logger.error("schedule.cannot_be_fired", schedule=str(schedule.id), exc_info=error)
    reason = f"cannot be fired: {type(error).__name__}: {error}"
    return PassResult(quarantined=quarantine(schedule.id, schedule.version, reason))


def fire(planned: Sequence[Planned], *, is_patient: bool = False) -> PassResult:
    """Admit the planned runs and move the marks, in one transaction. Plans that no longer hold change nothing, nor do
    those whose task somebody else holds, who are not waited for unless `is_patient`."""
    with session.bounded() as cursor:
        # Tasks before schedules: an operation that pauses a task locks in this order too.
        tasks = sorted({item.schedule.task_id for item in planned})
        held: frozenset[UUID] = frozenset()
        if is_patient:
            lock_tasks(cursor, tasks)
        else:
            held = lock_free_tasks(cursor, tasks)
        all_of_them = len(planned)
        planned = [item for item in planned if item.schedule.task_id not in held]
        cursor.execute(
            _LOCK_PLANNED, [[item.schedule.id for item in planned], [item.schedule.version for item in planned]]
        )
        still = {schedule_id for (schedule_id,) in cursor.fetchall()}
        reach("after-lock")
        valid = [item for item in planned if item.schedule.id in still]
        starts = [_start(item.schedule, firing) for item in valid for firing in item.plan.fire]
        # Of the schedules of one task, too, the earlier occurrence comes first.
        starts.sort(key=_instant)
        admitted = admit(cursor, starts)
        reach("after-admit")
        _record_misses(cursor, valid)
        reach("after-misses")
        result = _advance(cursor, planned, valid, starts, admitted)
        reach("before-commit")
    reach("after-commit")
    return replace(result, stepped_over=all_of_them - len(planned), held=held)


def _fire_patiently(planned: Sequence[Planned]) -> PassResult:
    return fire(planned, is_patient=True)


def _start(schedule: DueSchedule, firing: Any) -> Start:
    """The start of an occurrence: a run of the task, or of the check where the schedule is a condition."""
    is_check = schedule.check_revision_id is not None
    return Start(
        task_id=schedule.task_id,
        trigger_kind=TriggerKind.CHECK if is_check else TriggerKind.SCHEDULE,
        schedule_id=schedule.id,
        scheduled_for=firing.scheduled_for,
        available_at=firing.available_at,
        revision_id=schedule.check_revision_id,
        is_beside_others=is_check,
    )


def _instant(start: Start) -> datetime:
    assert start.scheduled_for is not None
    return start.scheduled_for


def _record_misses(cursor: Any, valid: Sequence[Planned]) -> None:
    rows = [
        (item.schedule.id, missed.first, missed.last, missed.count, missed.at_least, missed.reason)
        for item in valid
        for missed in item.plan.missed
    ]
    if rows:
        cursor.execute(_RECORD_MISSES, [list(column) for column in zip(*rows, strict=True)])


def _advance(
    cursor: Any,
    planned: Sequence[Planned],
    valid: Sequence[Planned],
    starts: Sequence[Start],
    admitted: Sequence[Admitted],
) -> PassResult:
    fired: dict[UUID, int] = {}
    skipped: dict[UUID, int] = {}
    for start, result in zip(starts, admitted, strict=True):
        if result.run_id is None or start.schedule_id is None:
            continue
        if result.state is not RunState.SKIPPED and start.trigger_kind is TriggerKind.CHECK:
            continue  # a check is no firing
        counts = skipped if result.state is RunState.SKIPPED else fired
        counts[start.schedule_id] = counts.get(start.schedule_id, 0) + 1
    missed = {item.schedule.id: sum(span.count for span in item.plan.missed) for item in valid}
    if valid:
        cursor.execute(
            _ADVANCE,
            [
                [item.schedule.id for item in valid],
                [item.plan.next_fire_at for item in valid],
                [_last_fired(item) for item in valid],
                [fired.get(item.schedule.id, 0) for item in valid],
                [missed[item.schedule.id] for item in valid],
                [skipped.get(item.schedule.id, 0) for item in valid],
            ],
        )
    return PassResult(
        runs=sum(fired.values()),
        skipped=sum(skipped.values()),
        missed=sum(missed.values()),
        lost=len(planned) - len(valid),
    )


def _last_fired(item: Planned) -> datetime | None:
    """The newest occurrence that fires; a check is no firing."""
    if not item.plan.fire or item.schedule.check_revision_id is not None:
        return None
    return item.plan.fire[-1].scheduled_for
