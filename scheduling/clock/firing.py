"""One pass of the clock. See the package's docstring for why it is safe."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfoNotFoundError

import structlog

from scheduling.clock import metrics, session
from scheduling.clock.due import DueSchedule, Share, read_due
from scheduling.clock.faults import Fault, fault_of
from scheduling.clock.isolation import Isolation, SteppedOver
from scheduling.clock.points import reach
from scheduling.core.planning import Plan, plan
from scheduling.core.recurrence import ScheduleError, compile_rule
from scheduling.runs.admission import Admitted, Start, admit, lock_tasks
from scheduling.runs.plain import PlainStart, fire_plain
from scheduling.runs.states import RunState, TriggerKind

logger = structlog.get_logger(__name__)

DEFAULT_BATCH = 2000
# Seconds of planning after which a batch is written as far as it is planned: rules that are dear to plan delay the
# others by no more than this.
PLANNING_TIME = 0.5
# Starts of a pass, after which a batch is written as far as it is planned, and of one of its transactions: after days
# of downtime under the policy `all` each schedule may have hundreds.
STARTS_OF_PASS = 5000
STARTS_OF_TRANSACTION = 1000
# What planning may raise by no fault of the rule: no file descriptor is left to read the zone's data, say. (A name that
# is no zone is a ScheduleError; one that is known and cannot be found is a damaged installation.)
_OF_THIS_PROCESS = (OSError, MemoryError, RecursionError, ImportError, ZoneInfoNotFoundError)

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

_QUARANTINE = """
UPDATE scheduling_schedule SET state = 'quarantined', state_reason = %s, version = version + 1, updated_at = now()
WHERE id = %s AND version = %s AND state = 'active'
"""


@dataclass(frozen=True, slots=True)
class PassResult:
    """What a pass did. `schedules` read; `lost`: plans that were void; `stepped_over`: left due, because somebody holds
    what they need; `is_full`: there may be more to do."""

    schedules: int = 0
    runs: int = 0
    skipped: int = 0
    missed: int = 0
    quarantined: int = 0
    lost: int = 0
    stepped_over: int = 0
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
    def is_plain(self) -> bool:
        """True where one statement can fire it: one run, on a task whose policies decide nothing, and no misses."""
        return self.schedule.is_plain and len(self.plan.fire) == 1 and not self.plan.missed


def run_pass(
    *,
    now: datetime | None = None,
    batch: int = DEFAULT_BATCH,
    share: Share | None = None,
    stepped_over: SteppedOver | None = None,
) -> PassResult:
    """Fire what is due and return what was done. `now` None is the database's clock; `share` and `stepped_over` are
    the clock's own, and remember from pass to pass.

    Opens its own transactions, none of them longer than a batch's writes. A schedule that cannot be planned, or whose
    writes the database refuses, is quarantined with its reason; one whose task somebody has locked, or that this
    process lacks the means to plan, is stepped over; the rest of the batch goes on. Errors of the connection, of the
    server, and of locks that hold up everything are the caller's: nothing is lost by them.
    """
    left_alone = SteppedOver() if stepped_over is None else stepped_over
    skipped_batches = share.batches_to_skip() if share else 0
    is_shared = share is not None and share.is_contested
    reach("before-read")
    due = read_due(
        now=now, batch=batch, skip=skipped_batches * batch, is_shared=is_shared, stepped_over=left_alone.now()
    )
    reach("after-read")
    planned, set_aside = _plan_all(due, left_alone)
    reach("after-plan")
    plain = [item for item in planned if item.is_plain]
    others = [item for item in planned if not item.is_plain]
    written = [set_aside, *_write(plain, _fire_plain, left_alone)]
    for part in _in_parts(others):
        written += _write(part, fire, left_alone)
    done = _sum(written)
    if share is not None:
        share.note(lost=done.lost)
    return PassResult(
        schedules=len(due),
        runs=done.runs,
        skipped=done.skipped,
        missed=done.missed,
        quarantined=done.quarantined,
        lost=done.lost,
        stepped_over=done.stepped_over,
        is_full=len(due) == batch or skipped_batches > 0 or len(planned) + set_aside.schedules < len(due),
    )


def _plan_all(due: Sequence[DueSchedule], left_alone: SteppedOver) -> tuple[list[Planned], PassResult]:
    """Plan what the time allows, and set aside what cannot be planned; equal schedules are planned once."""
    ends_at = time.monotonic() + PLANNING_TIME
    plans: dict[Any, Plan] = {}
    planned: list[Planned] = []
    tried = quarantined = stepped_over = starts = 0
    for schedule in due:
        if starts > STARTS_OF_PASS:
            break
        key = schedule.plan_key
        known = plans.get(key) if key is not None else None
        if known is None:
            if time.monotonic() > ends_at:
                break
            try:
                known = _plan_twice(schedule)
            except ScheduleError as error:
                quarantined += quarantine(schedule, f"{error.code}: {error.detail}")
            except _OF_THIS_PROCESS as error:
                _put_off(schedule, error, left_alone)
                stepped_over += 1
            except Exception as error:
                logger.exception("schedule.cannot_be_planned", schedule=str(schedule.id))
                quarantined += quarantine(schedule, f"cannot be planned: {type(error).__name__}")
            if known is None:
                tried += 1
                continue
            if key is not None:
                plans[key] = known
        planned.append(Planned(schedule, known))
        starts += len(known.fire)
    return planned, PassResult(schedules=tried, quarantined=quarantined, stepped_over=stepped_over)


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


def _in_parts(planned: Sequence[Planned]) -> list[list[Planned]]:
    """Parts of at most so many starts as a transaction takes, whole schedules each."""
    parts: list[list[Planned]] = []
    room = 0
    for item in planned:
        if not parts or room < len(item.plan.fire):
            parts.append([])
            room = STARTS_OF_TRANSACTION
        parts[-1].append(item)
        room -= len(item.plan.fire)
    return parts


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


def quarantine(schedule: DueSchedule, reason: str) -> int:
    """Set a schedule aside so that it holds nothing up; return 0 where it has changed since it was read."""
    with session.bounded() as cursor:
        cursor.execute(_QUARANTINE, [reason[:500], schedule.id, schedule.version])
        count = cursor.rowcount
    if count:
        logger.error("schedule.quarantined", schedule=str(schedule.id), task=str(schedule.task_id), reason=reason)
    return int(count)


def _write(
    planned: Sequence[Planned], writer: Callable[[Sequence[Planned]], PassResult], left_alone: SteppedOver
) -> list[PassResult]:
    """Write the plans, each of them in some transaction. Those that were stepped over before come last, and one by
    one: they may well be blocked still, and must not delay the others again."""

    def write(items: Sequence[Planned]) -> PassResult:
        rest = [item for item in items if not left_alone.leaves_alone(*item.ids)] if left_alone else items
        written = writer(rest) if rest else PassResult()
        left_alone.forget(id_ for item in rest for id_ in item.ids)
        return replace(written, stepped_over=len(items) - len(rest))

    def step_over(item: Planned, error: Exception) -> PassResult:
        fault = fault_of(error)
        # What a schedule waits for is its task, or a key of its task.
        left_alone.add([item.schedule.task_id if fault is Fault.LOCK_TIMEOUT else item.schedule.id])
        trace = error if fault is Fault.UNEXPECTED else None
        logger.warning("schedule.stepped_over", schedule=str(item.schedule.id), fault=fault, exc_info=trace)
        return PassResult(stepped_over=1)

    isolation = Isolation(fire=write, quarantine=_refused, step_over=step_over)
    suspects = [item for item in planned if left_alone.knows(*item.ids)] if left_alone else []
    results = isolation.run([item for item in planned if not left_alone.knows(*item.ids)] if suspects else planned)
    with session.hurried():
        for item in suspects:
            results += isolation.run([item])
    return results


def _refused(item: Planned, error: Exception) -> PassResult:
    logger.error("schedule.cannot_be_fired", schedule=str(item.schedule.id), exc_info=error)
    return PassResult(quarantined=quarantine(item.schedule, f"cannot be fired: {type(error).__name__}: {error}"))


def _sum(results: Sequence[PassResult]) -> PassResult:
    return PassResult(
        runs=sum(result.runs for result in results),
        skipped=sum(result.skipped for result in results),
        missed=sum(result.missed for result in results),
        quarantined=sum(result.quarantined for result in results),
        lost=sum(result.lost for result in results),
        stepped_over=sum(result.stepped_over for result in results),
    )


def _fire_plain(planned: Sequence[Planned]) -> PassResult:
    """Fire schedules that leave nothing to decide, by one statement, which is the whole transaction."""
    starts = [
        PlainStart(
            schedule_id=item.schedule.id,
            version=item.schedule.version,
            scheduled_for=item.plan.fire[0].scheduled_for,
            available_at=item.plan.fire[0].available_at,
            next_fire_at=item.plan.next_fire_at,
        )
        for item in planned
    ]
    with session.single_statement() as cursor:
        fired = fire_plain(cursor, starts)
    reach("after-commit")
    return PassResult(runs=fired.runs, lost=len(planned) - fired.schedules)


def fire(planned: Sequence[Planned]) -> PassResult:
    """Admit the planned runs and move the marks, in one transaction. Plans that no longer hold change nothing."""
    with session.bounded() as cursor:
        # Tasks before schedules: an operation that pauses a task locks in this order too.
        lock_tasks(cursor, sorted({item.schedule.task_id for item in planned}))
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
        result = _advance(cursor, planned, valid, starts, admitted)
        reach("before-commit")
    reach("after-commit")
    return result


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
