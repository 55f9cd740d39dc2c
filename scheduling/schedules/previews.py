"""Previews of stored schedules, whose maximum and state they heed, and of rules that need not be stored, for an agent:
with its calendars, and what its limits would say."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from scheduling.agents.models import Agent
from scheduling.calendars.selectors import exclusions_named
from scheduling.core.planning import plan
from scheduling.core.preview import Preview, anchoring, answer, parse_request, preview, with_objection
from scheduling.core.recurrence import ScheduleError, anchored, compile_rule
from scheduling.core.recurrence.zones import get_zone
from scheduling.definitions.json_values import require_storable
from scheduling.errors import NotValid
from scheduling.schedules.limits import CALENDARS_LIMIT, spacing_words
from scheduling.schedules.models import Schedule, ScheduleKind, ScheduleState
from scheduling.schedules.rules import ACCOUNTED_FOR_EVER, misfire_of, pause_end, rule_of
from scheduling.tasks.models import TaskState

# So many occurrences before the time that is asked about are counted against the maximum.
_COUNTED = 10_000


def preview_of(
    line: Mapping[str, Any], *, agent: Agent | None, now: datetime, created_at: datetime | None = None
) -> Preview:
    """What `previewschedule` answers to the same line, which may name calendars of the agent by their keys, too.

    NotValid with the field that is at fault. `agent` None: nobody's, so that there are no calendars to name.
    `created_at` is of the stored schedule that is to get this rule, which is anchored there without a `starts_at`.
    """
    require_storable(**line)
    try:
        request = parse_request({name: value for name, value in line.items() if name != "calendars"})
        keys = _keys(line.get("calendars"))
        if keys:
            request = replace(request, rule=replace(request.rule, calendars=_exclusions(agent, keys)))
        if created_at is not None:
            request = replace(request, rule=anchored(request.rule, at=created_at))
        found = answer(request, now)
        if agent is not None:
            rule = anchored(request.rule, at=anchoring(request.after, now))
            words = spacing_words(compile_rule(rule), kind=rule.kind, agent=agent, now=now)
            if words is not None:
                found = with_objection(found, words)
        return found
    except ScheduleError as error:
        raise NotValid.at(f"/{error.field}", error.code, f"{error.detail}.", error.hint) from error


def preview_of_schedule(schedule: Schedule, *, after: datetime, now: datetime, count: int) -> Preview:
    """Its occurrences after `after`, no more than it may still have runs, and notes on its maximum and its state.

    What is due by now and what fires between `now` and `after` is taken off the runs that it may still have.
    ScheduleError for a rule that is not valid.
    """
    # What is shown of a condition are its checks, and those are no runs.
    is_check = schedule.kind == ScheduleKind.CONDITION and schedule.remaining != 0
    due = 0 if is_check or not schedule.remaining else _due(schedule, after=after, now=now)
    left, is_counted = (None, True) if is_check else _left(schedule, due=due, after=after, now=now)
    if left is not None:
        count = max(1, min(count, left + _taken_by_pause(schedule, after=after, most=count)))
    found = preview(rule_of(schedule), after=after, now=now, count=count)
    if left == 0:
        found = replace(found, next=(), notes=())
    if not is_counted:
        uncounted = f"More than {_COUNTED} occurrences come before this time and are not counted: it may end earlier."
        found = replace(found, notes=(*found.notes, uncounted))
    return replace(found, notes=(*found.notes, *_maximum_notes(schedule, due), *_state_notes(schedule, found, now=now)))


def _left(schedule: Schedule, *, due: int, after: datetime, now: datetime) -> tuple[int | None, bool]:
    """How many runs it may still have after `after`, by what is `due` and fires until then; None without a maximum.
    What comes while it is paused is missed, and missed occurrences do not count. And whether all are counted."""
    remaining = schedule.remaining
    if not remaining:
        return remaining, True
    remaining -= due
    fires_after = max(now, pause_end(schedule) - timedelta(microseconds=1))  # the end itself is not paused
    if not remaining or after <= fires_after:
        return remaining, True
    before = compile_rule(rule_of(schedule)).occurrences(fires_after, min(remaining, _COUNTED + 1))
    fired = sum(1 for each in before if each <= after)
    return remaining - fired, fired <= _COUNTED or fired == remaining


def _due(schedule: Schedule, *, after: datetime, now: datetime) -> int:
    """How many runs are due by now that the clock has not made yet, of occurrences that do not come after `after`."""
    mark = schedule.next_fire_at
    may_fire = schedule.state != ScheduleState.QUARANTINED and pause_end(schedule) <= now
    if mark is None or mark > now or not may_fire:
        return 0
    recurrence, misfire = compile_rule(rule_of(schedule)), misfire_of(schedule)
    due = plan(recurrence, misfire=misfire, next_fire_at=mark, now=now, remaining=schedule.remaining)
    return sum(1 for each in due.fire if each.scheduled_for <= after)


def _taken_by_pause(schedule: Schedule, *, after: datetime, most: int) -> int:
    """How many of the next `most` occurrences a pause takes whose end is known: those use up no runs."""
    until = pause_end(schedule)
    if until <= after or until == ACCOUNTED_FOR_EVER:
        return 0
    return sum(1 for each in compile_rule(rule_of(schedule)).occurrences(after, most) if each < until)


def _maximum_notes(schedule: Schedule, due: int) -> list[str]:
    remaining, most = schedule.remaining, schedule.max_occurrences
    if remaining is None:
        return []
    if remaining:
        of_them = f", of which {due} {'is' if due == 1 else 'are'} due and not started yet" if due else ""
        return [f"It ends after {remaining} more run{_s(remaining)} at the latest (max_occurrences: {most}){of_them}."]
    had = "its 1 run" if most == 1 else f"all its {most} runs"
    return [f"It has had {had} (max_occurrences: {most})."]


def _state_notes(schedule: Schedule, found: Preview, *, now: datetime) -> list[str]:
    """Why none of what is shown fires as things are; nothing for a schedule that is active, or is about to be."""
    none = "none of these fires" if found.next else "nothing fires"
    match schedule.state:
        case ScheduleState.COMPLETED:
            return ["It is completed: it fires no more."]
        case ScheduleState.QUARANTINED:
            return [f"It is quarantined: {none} until it is resumed."]
    if schedule.held_at is not None and schedule.task.state == TaskState.ARCHIVED:
        return [f"Its task is archived: {none}."]
    until = pause_end(schedule)
    if until <= now:
        return []
    paused, resumed = _who(schedule)
    if until == ACCOUNTED_FOR_EVER:
        return [f"{paused} paused: {none} until {resumed} resumed."]
    local = until.astimezone(get_zone(schedule.timezone).info)
    return [f"{paused} paused until {local:%Y-%m-%d %H:%M}: {none} before {resumed} resumed."]


def _who(schedule: Schedule) -> tuple[str, str]:
    """Who is paused, and who has to be resumed."""
    if schedule.held_at is None:
        return "It is", "it is"
    if schedule.state == ScheduleState.ACTIVE:
        return "Its task is", "the task is"
    return "It and its task are", "both are"


def _s(count: int) -> str:
    return "" if count == 1 else "s"


def _keys(given: Any) -> list[str]:
    if given is None:
        return []
    if not isinstance(given, list) or len(given) > CALENDARS_LIMIT or not all(isinstance(key, str) for key in given):
        detail = f"calendars must be a list of at most {CALENDARS_LIMIT} keys"
        raise ScheduleError("invalid_field", detail, field="calendars")
    return given


def _exclusions(agent: Agent | None, keys: list[str]) -> Any:
    if agent is None:
        raise ScheduleError(
            "unknown_calendar",
            "Calendars are those of an agent, and none is asking",
            field="calendars",
            hint="Ask with the token of the task's agent, or leave calendars out.",
        )
    return exclusions_named(agent.pk, keys)
