"""What a schedule of kind event, after or condition does when its moment has come: start its task's run, and count it.

Every function requires an open transaction. Locks, in the order of the whole app: exclusive tasks by id, schedules by
id; so two publishers of one topic, and a publisher and an operator who pauses, come one after the other.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog
from django.db import connection, transaction
from django.db.models import F

from scheduling import conf
from scheduling.clock import metrics
from scheduling.clock.faults import Fault, fault_of
from scheduling.events.models import Event
from scheduling.instants import database_now
from scheduling.runs.admission import Admitted, Start, admit, lock_tasks
from scheduling.runs.states import RunState, TriggerKind
from scheduling.schedules.models import Schedule, ScheduleKind
from scheduling.schedules.resuming import end_snooze_if_over
from scheduling.schedules.rules import ACCOUNTED_FOR_EVER, pause_end
from scheduling.tasks.models import Task
from scheduling.triggers.filters import NOT_EVALUATED, FilterError
from scheduling.triggers.judging import Judge

logger = structlog.get_logger(__name__)

# Purpose: count what a schedule has started, and complete it with its last run. Index: primary key. Locks: rows that
# are locked already.
_COUNT = """
UPDATE scheduling_schedule
SET fired_count = fired_count + %(fired)s, skipped_count = skipped_count + %(skipped)s,
    last_fired_at = CASE WHEN %(fired)s > 0 THEN now() ELSE last_fired_at END,
    state_reason = CASE WHEN %(keeps)s THEN state_reason ELSE %(reason)s END,
    state = CASE WHEN max_occurrences <= fired_count + %(fired)s THEN 'completed' ELSE state END,
    paused_until = CASE WHEN max_occurrences <= fired_count + %(fired)s THEN NULL ELSE paused_until END,
    next_fire_at = CASE WHEN max_occurrences <= fired_count + %(fired)s THEN NULL ELSE next_fire_at END,
    accounted_until = CASE WHEN max_occurrences <= fired_count + %(fired)s THEN %(for_ever)s ELSE accounted_until END,
    version = version + 1
WHERE id = %(id)s
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """That which fires: an event that is stored, and for whom it counts as what. A backfill may have led to it."""

    event: Event
    trigger_kind: TriggerKind
    scheduled_for: datetime | None = None
    simulated: bool = False
    is_backfilled: bool = False


@dataclass(frozen=True, slots=True)
class Started:
    """The runs that were made, skipped ones left out, and the schedules whose start admission refused."""

    runs: list[UUID]
    refused: list[UUID]


def locked(schedule_ids: Sequence[UUID], task_ids: Sequence[UUID]) -> list[Schedule]:
    """The schedules that still may fire, locked, with their tasks, in the order of their ids.

    One whose snooze is over is among them, and is resumed; one whose task's is, too, and the task is left to the clock:
    resuming it would take locks out of their order.
    """
    with connection.cursor() as cursor:
        lock_tasks(cursor, sorted(set(task_ids)))
    rows = Schedule.objects.select_for_update(no_key=True).filter(pk__in=schedule_ids).order_by("pk")
    schedules, now = list(rows), database_now()
    # Read after those locks, which a pause of the task waits for: a joined row would be older than they are.
    tasks = Task.objects.in_bulk({schedule.task_id for schedule in schedules})
    for schedule in schedules:
        schedule.task = tasks[schedule.task_id]
        if pause_end(schedule) <= now:
            end_snooze_if_over(schedule, now=now)
    return [schedule for schedule in schedules if pause_end(schedule) <= now]


def fire(
    candidates: Sequence[Schedule], moment: Moment, *, still: Callable[[Schedule], bool] = lambda _: True
) -> list[UUID]:
    """Start a run for each candidate whose filter holds; return the ids of the runs, skipped ones left out.

    The candidates have their tasks and need not be locked: filters are judged first, and only what is to be written to
    is locked, and judged again where it has changed since. `still` says under the lock whether one is still meant.
    A filter that cannot be evaluated starts nothing: the schedule says why, and it is counted as skipped. Past the
    deepest event allowed nothing is started.
    """
    if moment.event.depth > conf.max_event_depth():
        metrics.EVENTS_TOO_DEEP.inc()
        logger.warning(
            "event.too_deep",
            event_id=str(moment.event.pk),
            topic=moment.event.topic,
            depth=moment.event.depth,
            hint="A task starts itself through its own events, or a chain is longer than ORDINAUT_MAX_EVENT_DEPTH.",
        )
        return []
    judge = Judge(moment.event)
    concerned = judge.concerned(candidates)
    if not concerned:
        return []
    schedules = locked([schedule.pk for schedule in concerned], [schedule.task_id for schedule in concerned])
    met = [schedule for schedule in schedules if still(schedule) and _is_met(schedule, judge)]
    return start(met, moment).runs


def start(schedules: Sequence[Schedule], moment: Moment) -> Started:
    """Start a run for each locked schedule, whatever its filter says; the same event starts it once.

    A schedule whose task cannot be started says why, and keeps no other from it.
    """
    started = []
    admitted = _admitted(schedules, moment)
    for schedule, result in admitted:
        is_skipped = result.state is RunState.SKIPPED
        if result.run_id is not None:
            with connection.cursor() as cursor:
                _count(cursor, schedule, fired=int(not is_skipped), skipped=int(is_skipped))
            started += [] if is_skipped else [result.run_id]
    heard = {schedule.pk for schedule, _ in admitted}
    return Started(started, [schedule.pk for schedule in schedules if schedule.pk not in heard])


def refuse(schedule: Schedule, error: FilterError) -> None:
    """Note on a locked schedule that its filter failed. It stays active: the next event may fit."""
    logger.warning("schedule.filter_failed", schedule=str(schedule.pk), detail=str(error))
    metrics.FILTERS_FAILED.inc()
    _say(schedule, str(error))


def _admitted(schedules: Sequence[Schedule], moment: Moment) -> list[tuple[Schedule, Admitted]]:
    """What admission decided for each; a batch that it refuses is halved, until the one to blame stands alone."""
    if not schedules:
        return []
    try:
        # A savepoint: admission may have written before it came to the one that it refuses.
        with transaction.atomic(), connection.cursor() as cursor:
            admitted = admit(cursor, [_start(schedule, moment) for schedule in schedules])
        return list(zip(schedules, admitted, strict=True))
    except Exception as error:
        if fault_of(error) is not Fault.REFUSED:
            raise
        if len(schedules) == 1:
            logger.warning("schedule.start_refused", schedule=str(schedules[0].pk), detail=str(error))
            metrics.STARTS_REFUSED.inc()
            _say(schedules[0], f"The run cannot be started: {error}")
            return []
    middle = len(schedules) // 2
    return [*_admitted(schedules[:middle], moment), *_admitted(schedules[middle:], moment)]


def _say(schedule: Schedule, reason: str) -> None:
    with connection.cursor() as cursor:
        _count(cursor, schedule, fired=0, skipped=1, reason=reason[:500])


def _is_met(schedule: Schedule, judge: Judge) -> bool:
    try:
        has_come = judge.is_met(schedule)
    except FilterError as error:
        refuse(schedule, error)
        return False
    if not has_come and schedule.state_reason.startswith(NOT_EVALUATED):
        # What it says of an earlier event does not hold any more; why a start was refused stays.
        Schedule.objects.filter(pk=schedule.pk).update(state_reason="", version=F("version") + 1)
    return has_come


def _start(schedule: Schedule, moment: Moment) -> Start:
    return Start(
        task_id=schedule.task_id,
        trigger_kind=moment.trigger_kind,
        schedule_id=schedule.pk,
        scheduled_for=moment.scheduled_for,
        event_id=moment.event.pk,
        simulated=moment.simulated,
        is_backfilled=moment.is_backfilled,
        triggered_by=moment.event.caused_by,
    )


def _count(cursor: Any, schedule: Schedule, *, fired: int, skipped: int, reason: str = "") -> None:
    cursor.execute(
        _COUNT,
        {
            "id": schedule.pk,
            "fired": fired,
            "skipped": skipped,
            "reason": reason,
            # Why an `after` will not start again outlives its last starts; any other reason is over with a start.
            "keeps": not reason and schedule.kind == ScheduleKind.AFTER,
            "for_ever": ACCOUNTED_FOR_EVER,
        },
    )
