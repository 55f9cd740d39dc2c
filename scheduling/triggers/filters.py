"""Filters of schedules: expressions of the pipeline language, judged and evaluated through the port."""

from collections.abc import Collection, Mapping
from typing import Any

import structlog

from scheduling.ports import pipeline_port
from scheduling.schedules.models import Schedule, ScheduleKind

logger = structlog.get_logger(__name__)

DEFAULT_CHECK_FILTER = "outputs.met"
NOT_EVALUATED = "The filter cannot be evaluated: "

# What an expression may speak of, by the kind of its schedule.
NAMES: Mapping[str, Collection[str]] = {
    ScheduleKind.EVENT: ("event", "task", "now"),
    ScheduleKind.AFTER: ("event", "task", "now"),
    ScheduleKind.CONDITION: ("outputs", "task", "now"),
}


class FilterError(ValueError):
    """A filter could not be evaluated over what happened; the text says why."""


def judge(schedule: Schedule, context: Mapping[str, Any], *, fuel: int) -> tuple[bool | FilterError, int]:
    """What `is_met` says or raises, for at most so much fuel, and the fuel that it took."""
    if not schedule.filter:
        return True, 0
    truth, spent = pipeline_port().judge(schedule.filter, context, fuel=fuel)
    return (truth if isinstance(truth, bool) else FilterError(f"{NOT_EVALUATED}{truth}")), spent


def is_met(schedule: Schedule, context: Mapping[str, Any]) -> bool:
    """The truth of the schedule's filter over `context`; an empty filter of an event is always met.

    Pure but for the port, bounded by the language's fuel. Raises FilterError.
    """
    text = schedule.filter
    if not text:
        if schedule.kind != ScheduleKind.CONDITION:
            return True
        text = DEFAULT_CHECK_FILTER
    try:
        return pipeline_port().is_true(text, context)
    except ValueError as error:
        raise FilterError(f"{NOT_EVALUATED}{error}") from error
