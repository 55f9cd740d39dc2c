"""Make, change, pause and remove schedules. Each function is one transaction and one audit entry.

Editing is never retroactive: the mark moves to the first occurrence after now. Every write raises `version`, which
voids the plans of a clock that read the schedule before.

Locks: calendars that are named, the task, then the schedule, in the clock's order.
"""

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction

from scheduling.audit.operations import Actor, record
from scheduling.audit.snapshots import difference, snapshot
from scheduling.calendars.selectors import lock_named
from scheduling.core.planning import last_occurrence
from scheduling.core.recurrence import ScheduleError, anchored
from scheduling.definitions.strict import parse, problems_in
from scheduling.errors import Conflict, IllegalTransition, LimitReached, NotValid, VersionMismatch
from scheduling.instants import database_moment, database_now
from scheduling.schedules.definition import ScheduleChanges, ScheduleDefinition, apply, build, refused, require_whole
from scheduling.schedules.holes import account_for_past, seen_until
from scheduling.schedules.limits import require_spacing
from scheduling.schedules.models import Miss, MissReason, Schedule, ScheduleKind, ScheduleState
from scheduling.schedules.rules import (
    ACCOUNTED_FOR_EVER,
    RULE_COLUMNS,
    count_passed,
    first_mark,
    recurrence_of,
    rule_of,
    set_mark,
)
from scheduling.tasks.models import Task, TaskState
from scheduling.triggers.connections import connect
from scheduling.wakeup import SCHEDULES_CHANNEL, after_commit

SCHEDULES_LIMIT = 100
_COUNTING_STOPS_AT = 10_000


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
    held = _lock(schedule)
    now = database_moment()  # a firing that was waited for is later than the transaction
    if unchanged_since is not None and held.updated_at != unchanged_since:
        raise VersionMismatch(hint="Read the schedule again and apply the change to what it is now.")
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
            _record_passed(held, _passed(held, now) if passed is None else passed, _reason(held))
            set_mark(held, first_mark(held, now=now))
            require_spacing(held, agent=held.task.agent, now=now)
        elif before["max_occurrences"] != held.max_occurrences:
            _account_for_past(held, was, now)
            _heed_maximum(held, now, passed or [])
    except ScheduleError as error:
        raise NotValid.because(problems_in(refused(error).detail)) from error
    return _save(actor=actor, action="schedule.update", schedule=held, before=before)


@transaction.atomic
def pause_schedule(*, actor: Actor, schedule: Schedule, reason: str = "", until: datetime | None = None) -> Schedule:
    """Stop firing, until resumed or `until`. Runs that exist go on.

    Pausing a paused schedule changes reason and end.
    """
    if until is not None and until <= database_now():
        raise NotValid.at("/until", "in_the_past", "The end of a pause must lie ahead.")
    held = _lock(schedule)
    _require(held, "pause", ScheduleState.ACTIVE, ScheduleState.PAUSED)
    before = snapshot(held)
    held.state = ScheduleState.PAUSED
    held.state_reason, held.paused_until = reason[:500], until
    return _save(actor=actor, action="schedule.pause", schedule=held, before=before)


@transaction.atomic
def resume_schedule(*, actor: Actor, schedule: Schedule) -> Schedule:
    """Fire again, from the first occurrence after now. What passed meanwhile is counted as missed, not replayed.

    A snooze that is over ended at its own instant, however late that is noticed: what came from then on is due. A
    quarantined schedule is tried again; NotValid when its rule still cannot be understood. While its task is
    paused the schedule stays held, and the count is made when the task resumes.
    """
    held = _lock(schedule)
    _require(held, "resume", ScheduleState.PAUSED, ScheduleState.QUARANTINED, ScheduleState.ACTIVE)
    if held.state == ScheduleState.ACTIVE:
        return held
    before = snapshot(held)
    last = last_paused(held.paused_until, now=database_moment())
    held.state = ScheduleState.ACTIVE
    held.state_reason, held.paused_until = "", None
    if held.held_at is None:
        try:
            account_for_pause(held, now=last)
        except ScheduleError as error:
            raise NotValid.because(problems_in(refused(error).detail)) from error
    return _save(actor=actor, action="schedule.resume", schedule=held, before=before)


@transaction.atomic
def end_snooze(*, actor: Actor, schedule: Schedule) -> Schedule:
    """Resume a schedule whose snooze is over. One that cannot be planned any more is set aside with its reason, so
    that it does not come back every second."""
    try:
        return resume_schedule(actor=actor, schedule=schedule)
    except NotValid as error:
        held = _lock(schedule)
        before = snapshot(held)
        held.state, held.paused_until = ScheduleState.QUARANTINED, None
        held.state_reason = f"{error.problems[0].code}: {error.problems[0].detail}"[:500]
        return _save(actor=actor, action="schedule.quarantine", schedule=held, before=before)


@transaction.atomic
def delete_schedule(*, actor: Actor, schedule: Schedule) -> None:
    """Remove it. Its runs stay, with its id; the audit trail keeps what it was.

    Conflict while a backfill of it is running: what is left of that would go without a word.
    """
    held = _lock(schedule)
    if held.backfills.filter(state="running").exists():
        raise Conflict("A backfill of the schedule is running.", hint="Cancel it, or wait until it is completed.")
    record(actor=actor, action="schedule.delete", target=held, before=snapshot(held))
    held.delete()
    after_commit(SCHEDULES_CHANNEL)


def last_paused(until: datetime | None, *, now: datetime) -> datetime:
    """The last instant that a pause takes, which had this end and is ended at `now`. The end itself is not paused."""
    return now if until is None or until > now else until - timedelta(microseconds=1)


def account_for_pause(schedule: Schedule, *, now: datetime) -> None:
    """Record what passed since the mark as one miss, and move the mark past now. Sets columns; the caller saves. The
    rule is what it was: the auditor goes on from where it had come to.

    One that has had all its runs is completed. Requires a transaction that holds the schedule's row. ScheduleError
    where the rule is not valid, or has come to nothing.
    """
    passed = _passed(schedule, now)
    _record_passed(schedule, passed, MissReason.PAUSED)
    seen = ACCOUNTED_FOR_EVER if schedule.next_fire_at is None else seen_until(schedule)
    if schedule.remaining == 0:
        set_mark(schedule, None)
    elif _is_due(schedule, now):
        recurrence = recurrence_of(schedule)
        set_mark(schedule, recurrence.next_after(now) if passed else recurrence.require_next(now))
    else:
        set_mark(schedule, schedule.next_fire_at)
    schedule.accounted_until = min(seen, seen_until(schedule))


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
        return _passed(schedule, now)
    except ScheduleError:
        return None


def _passed(schedule: Schedule, now: datetime) -> list[datetime]:
    """The occurrences from the mark up to `now`; where they are too many to count, one more than is counted, which is
    the last of all: the miss reaches as far as the mark moves."""
    passed = count_passed(schedule, now=now, limit=_COUNTING_STOPS_AT + 1)
    if len(passed) > _COUNTING_STOPS_AT:
        passed[-1] = last_occurrence(recurrence_of(schedule), passed[0], now + timedelta(microseconds=1))
    return passed


def _record_passed(schedule: Schedule, passed: Sequence[datetime], reason: MissReason) -> None:
    """One miss for all of these, which is counted on the schedule; the caller saves it."""
    if passed:
        count = min(len(passed), _COUNTING_STOPS_AT)
        Miss.objects.create(
            schedule=schedule,
            first_at=passed[0],
            last_at=passed[-1],
            count=count,
            is_at_least=len(passed) > count,
            reason=reason,
        )
        schedule.missed_count += count


def _reason(schedule: Schedule) -> MissReason:
    """Why an edit takes what was due from a schedule."""
    return MissReason.EDITED if schedule.is_firing else MissReason.PAUSED


def _heed_maximum(schedule: Schedule, now: datetime, passed: Sequence[datetime]) -> None:
    """Complete a schedule that has had its runs, `passed` being due; bring one back that may have more. Another mark
    stays: the rule is what it was."""
    if schedule.remaining == 0:
        _record_passed(schedule, passed, _reason(schedule))
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


def _is_due(schedule: Schedule, now: datetime) -> bool:
    return schedule.next_fire_at is None or schedule.next_fire_at <= now


def _require(schedule: Schedule, action: str, *states: ScheduleState) -> None:
    if schedule.state not in states:
        raise IllegalTransition(
            f"A schedule that is {schedule.state} cannot {action}.", allowed_actions=allowed_actions(schedule)
        )


def _lock_task(task: Task) -> Task:
    held = Task.objects.select_for_update(no_key=True).get(pk=task.pk)
    if held.state == TaskState.ARCHIVED:
        raise IllegalTransition("The task is archived; its schedules do not change any more.", allowed_actions=())
    return held


def _lock(schedule: Schedule) -> Schedule:
    task = _lock_task(schedule.task)
    held = Schedule.objects.select_for_update(no_key=True).get(pk=schedule.pk)
    held.task = task
    return held


def _save(*, actor: Actor, action: str, schedule: Schedule, before: dict[str, Any]) -> Schedule:
    """Write what changed, with the next version; nothing changed: write nothing."""
    old, new = difference(before, snapshot(schedule))
    if not new:
        return schedule
    schedule.version += 1
    schedule.updated_at = database_now()
    schedule.save(force_update=True)
    record(actor=actor, action=action, target=schedule, before=old, after=new)
    after_commit(SCHEDULES_CHANNEL)
    return schedule
