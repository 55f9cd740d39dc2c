"""What a rule says and when it fires next, for people who look at it. Reads nothing; `now` is an argument."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from scheduling.console.words import local_moment, moment, since
from scheduling.core.recurrence import Recurrence, Rule, ScheduleError, anchored, compile_rule
from scheduling.schedules.models import Schedule
from scheduling.schedules.rules import recurrence_of


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
    """The next `count` occurrences of a schedule after `now`, whatever its state."""
    try:
        return _told(recurrence_of(schedule), schedule.timezone, now=now, count=count)
    except ScheduleError as error:
        return Forecast(problem=_problem(error))


def forecast_of_words(words: Mapping[str, str], *, now: datetime, count: int) -> Forecast:
    """The same for a rule that is being written: `kind`, `expression`, `timezone`, `starts_at`, `gap`, `fold`."""
    if not words.get("expression", "").strip():
        return Forecast()
    try:
        rule = Rule(
            kind=words.get("kind", ""),
            expression=words["expression"].strip(),
            timezone=words.get("timezone", "").strip() or "UTC",
            starts_at=_local(words.get("starts_at", "")),
            gap=words.get("gap") or None,
            fold=words.get("fold") or None,
        )
        return _told(compile_rule(anchored(rule, at=now)), rule.timezone, now=now, count=count)
    except ScheduleError as error:
        return Forecast(problem=_problem(error))


def _told(recurrence: Recurrence, timezone: str, *, now: datetime, count: int) -> Forecast:
    instants = recurrence.occurrences(now, count)
    fires = [
        Fire(local=local_moment(instant, timezone), utc=moment(instant), wait=since(instant, now=now))
        for instant in instants
    ]
    notes = recurrence.remarks(now, instants[-1]) if instants else ["There is no further occurrence."]
    return Forecast(sentence=recurrence.sentence, fires=fires, notes=notes)


def _local(text: str) -> datetime | None:
    if not text.strip():
        return None
    try:
        return datetime.fromisoformat(text.strip())
    except ValueError:
        raise ScheduleError(
            "invalid_anchor",
            f"{text!r} is no local date and time",
            field="starts_at",
            hint="Write it like 2026-03-29T08:30:00",
        ) from None


def _problem(error: ScheduleError) -> str:
    return f"{error.detail}. {error.hint}." if error.hint else f"{error.detail}."
