"""The preview of a rule that need not be stored, for an agent: with its calendars, and what its limits would say."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from scheduling.agents.models import Agent
from scheduling.calendars.selectors import exclusions_named
from scheduling.core.preview import MAX_DATES, Preview, answer, parse_request
from scheduling.core.recurrence import ScheduleError, anchored, compile_rule
from scheduling.errors import NotValid
from scheduling.schedules.limits import spacing_words


def preview_of(line: Mapping[str, Any], *, agent: Agent | None, now: datetime) -> Preview:
    """What `previewschedule` answers to the same line, which may name calendars of the agent by their keys, too.

    NotValid with the field that is at fault. `agent` None: nobody's, so that there are no calendars to name.
    """
    try:
        request = parse_request({name: value for name, value in line.items() if name != "calendars"})
        keys = _keys(line.get("calendars"))
        if keys:
            request = replace(request, rule=replace(request.rule, calendars=_exclusions(agent, keys)))
        found = answer(request, now)
        if agent is not None:
            rule = anchored(request.rule, at=request.after or now)
            words = spacing_words(compile_rule(rule), kind=rule.kind, agent=agent, now=now)
            if words is not None:
                found = replace(found, notes=(*found.notes, f"It would be refused: {words}"))
        return found
    except ScheduleError as error:
        raise NotValid.at(f"/{error.field}", error.code, f"{error.detail}.", error.hint) from error


def _keys(given: Any) -> list[str]:
    if given is None:
        return []
    if not isinstance(given, list) or len(given) > MAX_DATES or not all(isinstance(key, str) for key in given):
        raise ScheduleError("invalid_field", "calendars must be a list of keys", field="calendars")
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
