"""What a rule says and when it fires next, for people who look at it: the one preview, in the console's words.

Reads nothing but calendars; `now` is an argument.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from scheduling.agents.models import Agent
from scheduling.console.words import local_moment, moment, since
from scheduling.core.preview import Preview
from scheduling.core.recurrence import ScheduleError
from scheduling.errors import NotValid
from scheduling.schedules.models import Schedule
from scheduling.schedules.previews import preview_of, preview_of_schedule

_TEXTS = ("kind", "starts_at", "ends_at", "gap", "fold")
_LISTS = ("exdates", "rdates", "calendars")


@dataclass(frozen=True, slots=True)
class Fire:
    local: str
    utc: str
    wait: str


@dataclass(frozen=True, slots=True)
class Forecast:
    """`sentence` says the rule in words; `problem` why it cannot be. An empty forecast has neither."""

    sentence: str = ""
    fires: list[Fire] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problem: str = ""


def forecast_of(schedule: Schedule, *, now: datetime, count: int) -> Forecast:
    """At most `count` of what a schedule has left after `now`, whatever its state, which a note tells."""
    try:
        return _told(preview_of_schedule(schedule, after=now, now=now, count=count), schedule.timezone, now=now)
    except ScheduleError as error:
        return Forecast(problem=_problem(error))


def forecast_of_words(
    words: Mapping[str, str], *, agent: Agent | None, now: datetime, count: int, created_at: datetime | None = None
) -> Forecast:
    """The same for a rule that is being written, from the form's own texts: what there may be several of stands in
    lines. `agent` is the task's, None while none is chosen; `created_at` of the schedule that is being changed.

    What the form has beside the rule plays no part.
    """
    if not words.get("expression", "").strip():
        return Forecast()
    line: dict[str, Any] = {name: words.get(name, "").strip() or None for name in _TEXTS}
    line |= {name: words.get(name, "").split() for name in _LISTS}
    line |= {"kind": line["kind"] or "", "expression": words["expression"].strip()}
    line |= {"timezone": words.get("timezone", "").strip() or "UTC", "after": now.isoformat(), "count": count}
    try:
        return _told(preview_of(line, agent=agent, now=now, created_at=created_at), line["timezone"], now=now)
    except NotValid as refusal:
        return Forecast(problem=" ".join(f"{each.detail} {each.hint or ''}".strip() for each in refusal.problems))


def _told(found: Preview, timezone: str, *, now: datetime) -> Forecast:
    instants = [datetime.fromisoformat(each.utc) for each in found.next]
    fires = [
        Fire(local=_local(instant, timezone), utc=moment(instant), wait=since(instant, now=now)) for instant in instants
    ]
    return Forecast(sentence=found.sentence, fires=fires, notes=list(found.notes))


def _problem(error: ScheduleError) -> str:
    return f"{error.detail}. {error.hint_sentence}" if error.hint else f"{error.detail}."


def _local(instant: datetime, timezone: str) -> str:
    """The local time without its zone, which the sentence above the table names once."""
    return local_moment(instant, timezone).partition(" (")[0]
