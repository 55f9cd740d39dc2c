"""What an agent's limits say about its schedules."""

from datetime import datetime, timedelta

from scheduling.agents.models import Agent
from scheduling.core.recurrence import Recurrence
from scheduling.core.recurrence.spacing import comes_closer
from scheduling.definitions.durations import duration_text
from scheduling.errors import NotValid
from scheduling.schedules.models import Schedule, ScheduleKind
from scheduling.schedules.rules import recurrence_of

# Calendars of one schedule.
CALENDARS_LIMIT = 4

_TIMED_KINDS = frozenset(
    {ScheduleKind.CRON, ScheduleKind.RRULE, ScheduleKind.INTERVAL, ScheduleKind.ONCE, ScheduleKind.CONDITION}
)


def require_spacing(schedule: Schedule, *, agent: Agent, now: datetime, pointer: str = "") -> None:
    """NotValid `too_frequent` where two occurrences after `now` lie closer than the agent's `minimum_interval`.

    `pointer` is the place of the schedule in what was given. The rule must be a valid one.
    """
    words = spacing_words(recurrence_of(schedule), kind=schedule.kind, agent=agent, now=now)
    if words is None:
        return
    least = duration_text(agent.minimum_interval)
    raise NotValid.at(
        f"{pointer}/expression",
        "too_frequent",
        words,
        f"Let it occur every {least} or less often, or have the agent's minimum_interval lowered.",
    )


def spacing_words(recurrence: Recurrence, *, kind: str, agent: Agent, now: datetime) -> str | None:
    """A sentence where two occurrences after `now` lie closer than the agent's `minimum_interval`, None where not."""
    if agent.minimum_interval <= timedelta(0) or kind not in _TIMED_KINDS:
        return None
    near = comes_closer(recurrence, than=agent.minimum_interval, after=now)
    if near is None:
        return None
    former, latter = (at.astimezone(recurrence.zone.info).isoformat() for at in near)
    least = duration_text(agent.minimum_interval)
    return (
        f"Two occurrences lie {duration_text(near.distance)} apart, {former} and {latter}; "
        f"the schedules of {agent.name} keep at least {least}."
    )
