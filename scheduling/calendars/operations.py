"""Make, change and remove exclusion calendars. Each function is one transaction, audited.

A changed calendar moves the marks of the schedules that name it: to their first occurrence after now, never back.

Locks: the calendar, then tasks, then schedules, by id.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction

from scheduling.agents.models import Agent
from scheduling.audit.operations import Actor, record
from scheduling.audit.snapshots import difference, snapshot
from scheduling.calendars.definition import CalendarDefinition, apply, expand_columns
from scheduling.calendars.exclusions import value_of
from scheduling.calendars.models import Calendar
from scheduling.core.recurrence import Exclusions, Recurrence, ScheduleError
from scheduling.definitions.strict import parse
from scheduling.errors import Conflict, KeyTaken, LimitReached, NotValid, VersionMismatch
from scheduling.instants import database_moment, database_now
from scheduling.schedules.holes import account_for_past
from scheduling.schedules.models import Schedule, ScheduleState
from scheduling.schedules.rules import account_up_to_mark, load_calendars, recurrence_of, set_mark
from scheduling.tasks.models import Task
from scheduling.wakeup import SCHEDULES_CHANNEL, after_commit

CALENDARS_LIMIT = 100
_BATCH = 500
_SHOWN = 5
# What follows from the rest, or changes by itself, and says nothing in the audit trail.
_NOT_AUDITED = frozenset({"days", "spans_from", "spans_to", "expanded_until", "version", "updated_at"})
_MARK_COLUMNS = ("next_fire_at", "accounted_until", "state", "state_reason", "paused_until", "version", "missed_count")
_EXPANDED = ("key", "days", "spans_from", "spans_to")


class CalendarInUse(Conflict):
    """Schedules name this calendar."""

    code = "calendar_in_use"


@transaction.atomic
def create_calendar(*, actor: Actor, agent: Agent, definition: Mapping[str, Any]) -> Calendar:
    """Store a calendar. NotValid with pointers into the definition; KeyTaken; LimitReached."""
    values = parse(CalendarDefinition, definition)
    owner = Agent.objects.select_for_update(no_key=True).get(pk=agent.pk)
    if owner.calendars.count() >= CALENDARS_LIMIT:
        raise LimitReached(f"An agent has at most {CALENDARS_LIMIT} calendars.")
    _require_free(owner, values["key"])
    now = database_now()
    calendar = Calendar(agent=owner, created_at=now, updated_at=now)
    apply(calendar, values, now=now)
    calendar.save(force_insert=True)
    record(actor=actor, action="calendar.create", target=calendar, after=snapshot(calendar, leave_out=_NOT_AUDITED))
    return calendar


@transaction.atomic
def update_calendar(
    *, actor: Actor, calendar: Calendar, changes: Mapping[str, Any], expected_version: int | None = None
) -> Calendar:
    """Change some fields; schedules that name it fire by the new days within a second.

    VersionMismatch where `expected_version` is not the calendar's. Nothing changed: nothing is written.
    """
    values = parse(CalendarDefinition, changes, partial=True)
    held = _lock(calendar)
    if expected_version is not None and held.version != expected_version:
        raise VersionMismatch(hint="Read the calendar again and apply the change to what it is now.")
    if values.get("key", held.key) != held.key:
        _require_free(held.agent, values["key"])
    before, was = snapshot(held), value_of(held)
    now = database_now()
    apply(held, values, now=now)
    old, new = difference(before, snapshot(held))
    if not new:
        return held
    _save(held, was, now=now, changed=new)
    audited = {name for name in new if name not in _NOT_AUDITED}
    if audited:
        record(
            actor=actor,
            action="calendar.update",
            target=held,
            before={name: old[name] for name in audited},
            after={name: new[name] for name in audited},
        )
    return held


@transaction.atomic
def delete_calendar(*, actor: Actor, calendar: Calendar) -> None:
    """Remove it. CalendarInUse, with the schedules, while any names it: they would fire on its days."""
    held = _lock(calendar)
    users = list(schedules_naming(held).select_related("task").order_by("pk")[: _SHOWN + 1])
    if users:
        shown = ", ".join(f"{schedule.pk} of task {schedule.task.key}" for schedule in users[:_SHOWN])
        more = " and others" if len(users) > _SHOWN else ""
        raise CalendarInUse(
            f"Schedules name the calendar {held.key!r}: {shown}{more}.",
            hint="Take it out of their calendars first.",
        )
    record(actor=actor, action="calendar.delete", target=held, before=snapshot(held, leave_out=_NOT_AUDITED))
    held.delete()


@transaction.atomic
def expand_on(*, calendar: Calendar) -> bool:
    """Expand the recurring events of its text further ahead; True where that changed something.

    NotValid where there is too much of it by now: the calendar stays as it is.
    """
    held = _lock(calendar)
    before, was = snapshot(held), value_of(held)
    now = database_now()
    expand_columns(held, now=now)
    _, new = difference(before, snapshot(held))
    if new:
        _save(held, was, now=now, changed=new)
    return bool(new)


def schedules_naming(calendar: Calendar) -> Any:
    """The schedules that leave its days out. Looked for among its agent's tasks: others cannot name it."""
    return Schedule.objects.filter(task__agent_id=calendar.agent_id, calendars__contains=[calendar.pk])


def _lock(calendar: Calendar) -> Calendar:
    return Calendar.objects.select_for_update(of=("self",)).select_related("agent").get(pk=calendar.pk)


def _require_free(agent: Agent, key: str) -> None:
    if Calendar.objects.filter(agent=agent, key=key).exists():
        raise KeyTaken(f"There is a calendar with the key {key!r} already.", pointer="/key")


def _save(calendar: Calendar, was: Exclusions, *, now: datetime, changed: Mapping[str, Any]) -> None:
    calendar.version += 1
    calendar.updated_at = now
    calendar.save(force_update=True)
    if any(name in changed for name in _EXPANDED):
        _move_marks(calendar, was)


def _move_marks(calendar: Calendar, was: Exclusions) -> None:
    """Set the marks that lie ahead anew. What they have passed is accounted for by the days that `was` had. A mark that
    is due stays: the pass accounts for it by the new days. A schedule that was completed and occurs again goes on from
    now: the calendar may have taken its last occurrences away, and give them back.

    NotValid where a schedule would have more to leave out, with its other calendars, than a search can pass over.
    """
    task_ids = sorted(set(schedules_naming(calendar).values_list("task_id", flat=True)))
    for at in range(0, len(task_ids), _BATCH):
        held = Task.objects.select_for_update(no_key=True).filter(pk__in=task_ids[at : at + _BATCH]).order_by("pk")
        tasks = [task.pk for task in held.only("pk")]
        rows = Schedule.objects.select_for_update(no_key=True).filter(
            task_id__in=tasks, calendars__contains=[calendar.pk]
        )
        _set_marks(list(rows.order_by("pk")), {calendar.pk: was})
    after_commit(SCHEDULES_CHANNEL)


def _set_marks(schedules: Sequence[Schedule], before: Mapping[UUID, Exclusions]) -> None:
    now = database_moment()  # with the locks: a firing that was waited for is later than the transaction
    load_calendars(schedules)
    _account_for_past(schedules, before, now)
    for schedule in schedules:
        schedule.version += 1
        if schedule.state != ScheduleState.COMPLETED:
            account_up_to_mark(schedule)
        try:
            _set_mark(schedule, recurrence_of(schedule), now)
        except ScheduleError as error:
            # Any other was broken before: the clock sets it aside, with its reason.
            if error.code == "too_many_stretches":
                detail = f"The schedule {schedule.pk} names other calendars too: {error.detail}."
                raise NotValid.at("", error.code, detail, error.hint) from error
    Schedule.objects.bulk_update(schedules, _MARK_COLUMNS)


def _account_for_past(schedules: Sequence[Schedule], before: Mapping[UUID, Exclusions], now: datetime) -> None:
    """Look for holes by the days that the calendars had `before`."""
    known = [schedule.known_calendars for schedule in schedules]
    for schedule in schedules:
        schedule.known_calendars = {**schedule.known_calendars, **before}
    account_for_past(schedules, now=now)
    for schedule, calendars in zip(schedules, known, strict=True):
        schedule.known_calendars = calendars


def _set_mark(schedule: Schedule, recurrence: Recurrence, now: datetime) -> None:
    """Of one that goes on or occurs again. A quarantined schedule gets its mark when it is resumed."""
    is_ahead = schedule.next_fire_at is not None and schedule.next_fire_at > now
    if schedule.state == ScheduleState.COMPLETED:
        upcoming = None if schedule.remaining == 0 else recurrence.next_after(now)
        if upcoming is not None:
            set_mark(schedule, upcoming)
    elif is_ahead and schedule.state != ScheduleState.QUARANTINED:
        set_mark(schedule, recurrence.next_after(now))
