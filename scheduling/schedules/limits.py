"""What an agent's limits say about its schedules."""

from datetime import datetime, timedelta

from scheduling.agents.models import Agent
from scheduling.core.recurrence.spacing import comes_closer
from scheduling.definitions.durations import duration_text
from scheduling.errors import NotValid
from scheduling.schedules.models import Schedule, ScheduleKind
from scheduling.schedules.rules import recurrence_of

_TIMED_KINDS = frozenset(
    {ScheduleKind.CRON, ScheduleKind.RRULE, ScheduleKind.INTERVAL, ScheduleKind.ONCE, ScheduleKind.CONDITION}
)


def require_spacing(schedule: Schedule, *, agent: Agent, now: datetime, pointer: str = "") -> None:
    """NotValid `too_frequent` where two occurrences after `now` lie closer than the agent's `minimum_interval`.

    `pointer` is the place of the schedule in what was given. The rule must be a valid one.
    """
    if agent.minimum_interval <= timedelta(0) or schedule.kind not in _TIMED_KINDS:
        return
    distance = comes_closer(recurrence_of(schedule), than=agent.minimum_interval, after=now)
    if distance is None:
        return
    least = duration_text(agent.minimum_interval)
    raise NotValid.at(
        f"{pointer}/expression",
        "too_frequent",
        f"Two occurrences lie {duration_text(distance)} apart; the schedules of {agent.name} keep at least {least}.",
        f"Let it occur every {least} or less often, or have the agent's minimum_interval lowered.",
    )
