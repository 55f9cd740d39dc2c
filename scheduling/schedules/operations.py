"""Make, change, pause and remove schedules. Each function is one transaction and one audit entry.

Editing is never retroactive: the mark moves to the first occurrence after now. Every write raises `version`, which
voids the plans of a clock that read the schedule before. Where the schedule or its task was snoozed, and that is over
and no clock has come to it yet, it is ended before anything else is done.

Locks: calendars that are named, the task, then the schedule, in the clock's order; where a task's snooze is over, all
its schedules and its due work in between.
"""

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction

from scheduling.audit.operations import Actor, record
from scheduling.audit.snapshots import snapshot
from scheduling.calendars.selectors import lock_named
from scheduling.core.acceptance import require_some
from scheduling.core.recurrence import ScheduleError, anchored
from scheduling.definitions.json_values import require_storable
from scheduling.definitions.strict import parse, problems_in
from scheduling.errors import Conflict, IllegalTransition, LimitReached, NotValid, VersionMismatch
from scheduling.instants import database_moment, database_now
from scheduling.runs.states import RunState
from scheduling.schedules.accounts import passed_since_mark, record_passed
from scheduling.schedules.definition import ScheduleChanges, ScheduleDefinition, apply, build, refused, require_whole
from scheduling.schedules.holes import account_for_past
from scheduling.schedules.limits import require_spacing
from scheduling.schedules.models import MissReason, Schedule, ScheduleKind, ScheduleState
from scheduling.schedules.resuming import end_snooze_if_over, resume, save
from scheduling.schedules.rules import RULE_COLUMNS, first_mark, mark_after_edit, rule_of, set_mark
from scheduling.tasks import resuming as resuming_tasks
from scheduling.tasks.models import Task, TaskState
from scheduling.triggers.connections import connect
from scheduling.wakeup import SCHEDULES_CHANNEL, after_commit

SCHEDULES_LIMIT = 100


@transaction.atomic
def add_schedule(*, actor: Actor, task: Task, definition: Mapping[str, Any]) -> Schedule:
    """Give the task one more schedule. NotValid with pointers into the definition; an archived task is refused.

    A rule whose last occurrence has passed is stored as completed. On a paused task the schedule is held.
    """
    now = database_now()
    values = parse(ScheduleDefinition, definition, now=now)
    lock_named(task.agent_id, values["calendars"])
    held = _lock_task(task)
    if held.schedules.count() >= SCHEDULES_LIMIT:
        raise LimitReached(f"A task has at most {SCHEDULES_LIMIT} schedules.")
    return attach(actor=actor, task=held, values=values, now=now)


def attach(*, actor: Actor, task: Task, values: Mapping[str, Any], now: datetime) -> Schedule:
    """Store a schedule of validated values. Requires a transaction that holds the task's row.

    NotValid at `/calendars` for a key that is none, and where a calendar leaves nothing of a `once`; NotValid
    `too_frequent` by the agent's minimum interval.
    """
    schedule = build(values, now=now)
    schedule.task = task
    schedule.calendars = lock_named(task.agent_id, values.get("calendars", ()))
    connect(actor=actor, schedule=schedule, values=values)
    schedule.held_at = now if task.state == TaskState.PAUSED else None
    try:
        set_mark(schedule, first_mark(schedule, now=now))
        require_some(rule_of(schedule), now=now, is_new=True)
    except ScheduleError as error:
        raise NotValid.because(problems_in(refused(error).detail)) from error
    require_spacing(schedule, agent=task.agent, now=now)
    schedule.save(force_insert=True)
    record(actor=actor, action="schedule.create", target=schedule, after=snapshot(schedule))
    after_commit(SCHEDULES_CHANNEL)
    return schedule


@transaction.atomic
def update_schedule(
    *, actor: Actor, schedule: Schedule, changes: Mapping[str, Any], unchanged_since: datetime | None = None
) -> Schedule:
    """Change some fields. When the rule changes, the next firing is its first occurrence after now.

    A completed or quarantined schedule whose rule occurs again becomes active; a paused one stays paused.
    `unchanged_since` is the `updated_at` that the caller has read: VersionMismatch where it is another by now. (Not
    `version`, which every firing raises.)
    """
    values = parse(ScheduleChanges, changes, partial=True)
    calendars = lock_named(schedule.task.agent_id, values.get("calendars", ()))
    held = _lock(schedule, unchanged_since=unchanged_since)
    now = database_moment()  # a firing that was waited for is later than the transaction
    before = snapshot(held)
    was = copy(held)
    passed = _passed_under_the_old_rule(held, now)
    try:
        apply(held, values)
        if "calendars" in values:
            held.calendars = calendars
        connect(actor=actor, schedule=held, values=values)
        require_whole(
            held.kind,
            has_check=values.get("check", held.check_revision_id) is not None,
            has_after=bool(values.get("after", held.after_task_id)),
        )
        if held.filter != before["filter"]:
            held.condition_met, held.condition_checked_for = None, None
        held.starts_at = anchored(rule_of(held), at=held.created_at).starts_at
        if any(before[column] != snapshot(held)[column] for column in RULE_COLUMNS):
            _account_for_past(held, was, now)
            # What a rule that cannot be read would have named, the one that mends it does.
            mark = mark_after_edit(held, was, now=now)
            require_some(rule_of(held), now=now, is_new=False)
            if mark is None or mark > now or mark != was.next_fire_at:
                record_passed(held, passed_since_mark(held, now) if passed is None else passed, _reason(held))
            set_mark(held, mark)
            require_spacing(held, agent=held.task.agent, now=now)
        elif before["max_occurrences"] != held.max_occurrences:
            _account_for_past(held, was, now)
            _heed_maximum(held, now, passed or [])
    except ScheduleError as error:
        raise NotValid.because(problems_in(refused(error).detail)) from error
    return save(actor=actor, action="schedule.update", schedule=held, before=before)


@transaction.atomic
def pause_schedule(*, actor: Actor, schedule: Schedule, reason: str = "", until: datetime | None = None) -> Schedule:
    """Stop firing, until resumed or `until`. Runs that exist go on.

    Pausing a paused schedule changes reason and end.
    """
    require_storable(reason=reason)
    if until is not None and until <= database_now():
        raise NotValid.at("/until", "in_the_past", "The end of a pause must lie ahead.")
    held = _lock(schedule)
    _require(held, "pause", ScheduleState.ACTIVE, ScheduleState.PAUSED)
    before = snapshot(held)
    held.state = ScheduleState.PAUSED
    held.state_reason, held.paused_until = reason[:500], until
    return save(actor=actor, action="schedule.pause", schedule=held, before=before)


@transaction.atomic
def resume_schedule(*, actor: Actor, schedule: Schedule) -> Schedule:
    """Fire again, from the first occurrence after now. What passed meanwhile is counted as missed, not replayed.

    A snooze that is over ended at its own instant, however late that is noticed, and there is nothing left to do. A
    quarantined schedule is tried again; NotValid when its rule still cannot be understood. While its task is
    paused the schedule stays held, and the count is made when the task resumes.
    """
    held = _lock(schedule)
    _require(held, "resume", ScheduleState.PAUSED, ScheduleState.QUARANTINED, ScheduleState.ACTIVE)
    if held.state == ScheduleState.ACTIVE:
        return held
    try:
        return resume(actor=actor, schedule=held, last=database_moment())
    except ScheduleError as error:
        raise NotValid.because(problems_in(refused(error).detail)) from error


@transaction.atomic
def end_snooze(*, schedule: Schedule) -> None:
    """Resume a schedule whose snooze is over; one that somebody has paused anew meanwhile is left alone."""
    _lock(schedule)


@transaction.atomic
def delete_schedule(*, actor: Actor, schedule: Schedule) -> None:
    """Remove it. Its runs stay, with its id; the audit trail keeps what it was.

    Conflict while a backfill of it is running, what is left of which would go without a word, and while runs of one are
    live: only the backfill tells whether they stand beside others.
    """
    held = _lock(schedule)
    if held.backfills.filter(state="running").exists():
        raise Conflict("A backfill of the schedule is running.", hint="Cancel it, or wait until it is completed.")
    if held.backfills.filter(runs__state__in=[RunState.QUEUED, RunState.WAITING]).exists():
        raise Conflict("Runs of a backfill of the schedule are live.", hint="Cancel them, or wait for their end.")
    record(actor=actor, action="schedule.delete", target=held, before=snapshot(held))
    held.delete()
    after_commit(SCHEDULES_CHANNEL)


def reopen(schedule_ids: Iterable[UUID]) -> None:
    """Let completed schedules fire again, from now on, that have runs left after all: some were skipped afterwards.

    Requires a transaction that holds the schedules' rows.
    """
    now = database_moment()
    completed = Schedule.objects.filter(pk__in=schedule_ids, state=ScheduleState.COMPLETED)
    for schedule in completed.exclude(kind=ScheduleKind.ONCE).exclude(max_occurrences=None).order_by("pk"):
        was = copy(schedule)
        was.fired_count = was.max_occurrences or 0  # when it was completed it had had its runs
        _account_for_past(schedule, was, now)
        _heed_maximum(schedule, now, [])
        schedule.version += 1
        schedule.save(force_update=True)


def _account_for_past(schedule: Schedule, was: Schedule, now: datetime) -> None:
    """Look for holes behind the mark by what the schedule `was`."""
    account_for_past([was], now=now)
    schedule.accounted_until, schedule.missed_count = was.accounted_until, was.missed_count


def _passed_under_the_old_rule(schedule: Schedule, now: datetime) -> list[datetime] | None:
    """What was due and has not been fired: an edit takes it out of the new rule's reach, and must not lose it. None
    where the old rule cannot be read: the schedule is quarantined, or about to be."""
    try:
        return passed_since_mark(schedule, now)
    except ScheduleError:
        return None


def _reason(schedule: Schedule) -> MissReason:
    """Why an edit takes what was due from a schedule."""
    return MissReason.EDITED if schedule.is_firing else MissReason.PAUSED


def _heed_maximum(schedule: Schedule, now: datetime, passed: Sequence[datetime]) -> None:
    """Complete a schedule that has had its runs, `passed` being due; bring one back that may have more. Another mark
    stays: the rule is what it was."""
    if schedule.remaining == 0:
        record_passed(schedule, passed, _reason(schedule))
        set_mark(schedule, None)
        return
    is_over = schedule.state == ScheduleState.COMPLETED or (
        schedule.state == ScheduleState.PAUSED and schedule.next_fire_at is None
    )
    if is_over and schedule.kind != ScheduleKind.ONCE:
        set_mark(schedule, first_mark(schedule, now=now))


def allowed_actions(schedule: Schedule) -> tuple[str, ...]:
    """What may be done with it in its present state."""
    return {
        ScheduleState.ACTIVE: ("pause", "update", "delete"),
        ScheduleState.PAUSED: ("resume", "update", "delete"),
        ScheduleState.QUARANTINED: ("resume", "update", "delete"),
        ScheduleState.COMPLETED: ("update", "delete"),
    }[ScheduleState(schedule.state)]


def _require(schedule: Schedule, action: str, *states: ScheduleState) -> None:
    if schedule.state not in states:
        raise IllegalTransition(
            f"A schedule that is {schedule.state} cannot {action}.", allowed_actions=allowed_actions(schedule)
        )


def _lock_task(task: Task) -> Task:
    held = Task.objects.select_for_update(no_key=True).get(pk=task.pk)
    if held.state == TaskState.ARCHIVED:
        raise IllegalTransition("The task is archived; its schedules do not change any more.", allowed_actions=())
    resuming_tasks.end_snooze_if_over(held, now=database_moment())
    return held


def _lock(schedule: Schedule, *, unchanged_since: datetime | None = None) -> Schedule:
    """The schedule as it is by now: where it or its task was snoozed and that is over, it fires again, and what has
    come since is live. VersionMismatch where its `updated_at` was another before."""
    task = _lock_task(schedule.task)
    held = Schedule.objects.select_for_update(no_key=True).get(pk=schedule.pk)
    if unchanged_since is not None and held.updated_at != unchanged_since:
        raise VersionMismatch(hint="Read the schedule again and apply the change to what it is now.")
    held.task = task
    end_snooze_if_over(held, now=database_moment())
    return held
