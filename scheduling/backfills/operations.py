"""Count, make and cancel backfills. Each write is one transaction and one audit entry.

Locks: the task first, then the schedule, then the backfill, in the clock's order.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction

from scheduling.audit.operations import Actor, record
from scheduling.audit.snapshots import snapshot
from scheduling.backfills.definition import BackfillDefinition, BackfillRange
from scheduling.backfills.models import Backfill, BackfillOverlap, BackfillState
from scheduling.backfills.selectors import allowed_actions, have_run, live_runs
from scheduling.core.backfill import occurrences_in, rule_words
from scheduling.core.recurrence import Recurrence, Rule, ScheduleError, compile_rule
from scheduling.core.recurrence.zones import get_zone
from scheduling.definitions.json_values import require_storable
from scheduling.definitions.strict import parse
from scheduling.errors import Conflict, IllegalTransition, NotValid
from scheduling.instants import database_now
from scheduling.runs.operations import cancel_run
from scheduling.schedules.models import Schedule, ScheduleKind
from scheduling.schedules.rules import pause_end, rule_of
from scheduling.tasks.models import Task, TaskState
from scheduling.wakeup import SCHEDULES_CHANNEL, after_commit

_NOT_BY_TIME = (ScheduleKind.EVENT, ScheduleKind.AFTER, ScheduleKind.CONDITION)
_COUNTING_TIME = 3.0  # seconds of work; a hundred thousand occurrences of a usual rule take less than one


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillPreview:
    """What a backfill of the range would do. `first_at` and `last_at` are of the range, None where it is empty.

    `ran_count` of the `occurrence_count` have run before; `start_count` would be started.
    """

    rule: Rule
    start_at: datetime
    end_at: datetime
    occurrence_count: int
    ran_count: int
    start_count: int
    first_at: datetime | None
    last_at: datetime | None


class BackfillRunning(Conflict):
    """The schedule has a backfill that is running."""

    code = "backfill_running"


def preview_backfill(*, schedule: Schedule, given: Mapping[str, Any]) -> BackfillPreview:
    """Count the occurrences of a range; nothing is written. NotValid with pointers into `given`."""
    _require_backfillable(schedule)
    return _counted(schedule, parse(BackfillRange, given), now=database_now())


@transaction.atomic
def create_backfill(*, actor: Actor, schedule: Schedule, definition: Mapping[str, Any]) -> Backfill:
    """Have the clock run the occurrences of a past range. The rule is the schedule's as it is now.

    NotValid with pointers into the definition, also where nothing would be started; BackfillRunning where the schedule
    has one already; IllegalTransition for an archived task. On a paused task it waits until that is resumed.
    """
    _require_backfillable(schedule)
    values = parse(BackfillDefinition, definition)
    _require_pace(values)
    counted = _counted(schedule, values, now=database_now())  # before the locks: it may take a second
    held = _lock(schedule)
    rule = _rule(held)
    if rule != counted.rule:
        raise Conflict("The schedule was changed meanwhile.", hint="Preview the range again.")
    _require_starts(held, counted)
    _require_fired(held, counted.end_at, now=database_now())
    if held.backfills.filter(state=BackfillState.RUNNING).exists():
        raise BackfillRunning(hint="Wait until it is completed, or cancel it.", allowed_actions=())
    backfill = Backfill.objects.create(
        schedule=held,
        rule=rule_words(rule),
        start_at=counted.start_at,
        end_at=counted.end_at,
        cursor_at=counted.start_at,
        overlap=values["overlap"],
        max_active=values["max_active"],
        only_missing=values["only_missing"],
        total_count=counted.occurrence_count,
        created_by=str(actor),
    )
    backfill.refresh_from_db(fields=["created_at"])
    record(actor=actor, action="backfill.create", target=backfill, after=snapshot(backfill))
    after_commit(SCHEDULES_CHANNEL)
    return backfill


@transaction.atomic
def cancel_backfill(*, actor: Actor, backfill: Backfill, reason: str = "", cancel_runs: bool = False) -> Backfill:
    """Start no more of it. Runs that are live go on, or with `cancel_runs` are canceled as by `cancel_run`.

    Canceling a canceled one again reaches the runs that went on; one that has ended otherwise is refused.
    """
    require_storable(reason=reason)
    schedule = _lock(backfill.schedule, even_archived=True)
    held = Backfill.objects.select_for_update(no_key=True).get(pk=backfill.pk)
    held.schedule = schedule
    if "cancel" not in allowed_actions(held):
        raise IllegalTransition(f"A backfill that is {held.state} cannot be canceled.", allowed_actions=())
    if held.state == BackfillState.RUNNING:
        held.state, held.state_reason, held.finished_at = BackfillState.CANCELED, reason[:500], database_now()
        held.save(update_fields=["state", "state_reason", "finished_at"])
        record(
            actor=actor,
            action="backfill.cancel",
            target=held,
            before={"state": BackfillState.RUNNING.value},
            after={"state": held.state, "reason": held.state_reason, "cancel_runs": cancel_runs},
        )
    if cancel_runs:
        for run in live_runs(held).order_by("pk"):
            # It may have ended since it was read.
            with suppress(IllegalTransition):
                cancel_run(actor=actor, run=run, reason=reason)
    return held


def _counted(schedule: Schedule, values: Mapping[str, Any], *, now: datetime) -> BackfillPreview:
    rule = _rule(schedule)
    try:
        zone = get_zone(schedule.timezone)
        start, end = zone.begin_of(values["start"]), zone.end_of(values["end"])
        _require_past_range(start, end, now=now)
        _require_fired(schedule, end, now=now)
        found = _occurrences(compile_rule(rule), start, end)
    except ScheduleError as error:
        raise _refused(error) from error
    ran = have_run(schedule.pk, found)
    return BackfillPreview(
        rule=rule,
        start_at=start,
        end_at=end,
        occurrence_count=len(found),
        ran_count=len(ran),
        start_count=len(found) - len(ran) if values["only_missing"] else len(found),
        first_at=found[0] if found else None,
        last_at=found[-1] if found else None,
    )


def _rule(schedule: Schedule) -> Rule:
    try:
        return rule_of(schedule)
    except ScheduleError as error:
        raise _refused(error) from error


def _refused(error: ScheduleError) -> NotValid:
    pointer = f"/{error.field}" if error.field in ("start", "end") else ""
    return NotValid.at(pointer, error.code, f"{error.detail}.", error.hint_sentence)


def _occurrences(recurrence: Recurrence, start: datetime, end: datetime) -> list[datetime]:
    return occurrences_in(recurrence, start=start, end=end, is_time_over=_deadline(_COUNTING_TIME))


def _deadline(seconds: float) -> Callable[[], bool]:
    # Of this thread's own work: a busy machine must not refuse what a quiet one takes.
    over_at = time.thread_time() + seconds
    return lambda: time.thread_time() > over_at


def _require_past_range(start: datetime, end: datetime, *, now: datetime) -> None:
    if end < start:
        raise NotValid.at("/end", "ends_before_it_starts", "end lies before start.", "Exchange the two.")
    if end > now:
        shown = now.replace(microsecond=0).isoformat().replace("+00:00", "Z")
        hint = f"End it now, {shown}, or earlier: what is to come is fired live."
        raise NotValid.at("/end", "in_the_future", "A backfill is of the past.", hint)


def _require_fired(schedule: Schedule, end: datetime, *, now: datetime) -> None:
    """What is due and has not been fired yet will be, live: a backfill of it would run it twice."""
    mark, resumed_at = schedule.next_fire_at, pause_end(schedule)
    if mark is None or resumed_at > now:
        return
    fires_from = max(mark, resumed_at)
    if fires_from <= min(end, now):
        shown = fires_from.isoformat().replace("+00:00", "Z")
        hint = f"End the range before {shown}, or try again in a moment."
        raise NotValid.at("/end", "not_fired_yet", "The range reaches what is due and about to be fired live.", hint)


def _require_starts(schedule: Schedule, counted: BackfillPreview) -> None:
    if counted.occurrence_count == 0:
        hint = "Preview the range, and make it longer."
        if _begins_later(schedule, counted.end_at):
            hint = f"Its starts_at is {schedule.starts_at.isoformat()}, local time: give the schedule an earlier one."
        raise NotValid.at("/start", "no_occurrences", "The range has no occurrence.", hint)
    if counted.start_count == 0:
        hint = "Say only_missing: false to run them again."
        raise NotValid.at("/start", "nothing_missing", "Every occurrence of the range has run.", hint)


def _begins_later(schedule: Schedule, end: datetime) -> bool:
    return schedule.starts_at is not None and get_zone(schedule.timezone).begin_of(schedule.starts_at) > end


def _require_pace(values: Mapping[str, Any]) -> None:
    if values["overlap"] == BackfillOverlap.QUEUE_ALL and values["max_active"] != 1:
        hint = 'Say "overlap": "allow" to run several at once.'
        raise NotValid.at("/max_active", "not_one", "queue_all runs one at a time.", hint)


def _require_backfillable(schedule: Schedule) -> None:
    if schedule.kind in _NOT_BY_TIME:
        hint = "Backfill a schedule of the kind cron, rrule, interval or once."
        raise NotValid.at("", "not_by_time", f"A schedule of the kind {schedule.kind} has no past occurrences.", hint)


def _lock(schedule: Schedule, *, even_archived: bool = False) -> Schedule:
    task = Task.objects.select_for_update(no_key=True).get(pk=schedule.task_id)
    if task.state == TaskState.ARCHIVED and not even_archived:
        raise IllegalTransition("The task is archived; nothing of it runs any more.", allowed_actions=())
    held = Schedule.objects.select_for_update(no_key=True).get(pk=schedule.pk)
    held.task = task
    return held
