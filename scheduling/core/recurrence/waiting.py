"""Kinds that name no instants: they wait for something to happen, an event or the end of another task's run."""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from scheduling.core.recurrence.base import Recurrence
from scheduling.core.recurrence.context import Context
from scheduling.core.recurrence.interval import compile_interval
from scheduling.core.recurrence.rule import ScheduleError
from scheduling.core.topics import problem_of

ENDS = {"success": "has succeeded", "failure": "has failed", "end": "has ended"}


@dataclass(slots=True, kw_only=True)
class WaitingRecurrence(Recurrence):
    """No instants at all."""

    has_times: ClassVar[bool] = False

    def rule_from(self, instant: datetime) -> datetime | None:
        return None


def compile_event(expression: str, context: Context) -> WaitingRecurrence:
    """Read a pattern of topics, or raise ScheduleError `invalid_topic`."""
    # To the letter: a pattern is looked up as it is stored, and one with a blank would be good and never match.
    problem = problem_of(expression)
    if problem is not None:
        raise ScheduleError(
            "invalid_topic",
            problem.removesuffix("."),
            field="expression",
            hint="Write order.paid, order.*, or order.** for example",
        )
    return WaitingRecurrence(zone=context.zone, sentence=f"Whenever an event {expression} is published")


def compile_after(expression: str, context: Context) -> WaitingRecurrence:
    """Read what end of another task's run is waited for, or raise ScheduleError `invalid_after`."""
    if expression not in ENDS:
        raise ScheduleError(
            "invalid_after",
            f"{expression[:40]!r} is not an end that can be followed",
            field="expression",
            hint=f"Write one of {', '.join(ENDS)}, and the followed task in `after`",
        )
    return WaitingRecurrence(zone=context.zone, sentence=f"Whenever a run of the followed task {ENDS[expression]}")


def compile_condition(expression: str, context: Context) -> Recurrence:
    """Read how often to look: an interval. Each of its occurrences is a check, not yet a firing."""
    checks = compile_interval(expression, context)
    checks.sentence = f"{checks.sentence}, looks whether its condition has become true"
    return checks
