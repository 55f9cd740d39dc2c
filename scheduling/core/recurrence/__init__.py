"""Recurrence: which instants a schedule names. Pure; every search is bounded whatever the rule and its anchor's age.

    Rule (words) -> compile_rule -> Recurrence (instants)

    cron, rrule by days  -> pattern of wall times   -> WallRecurrence     zone attached last, gap and fold policies
    rrule by hour, finer -> counted units           -> ElapsedRecurrence  elapsed time, wall clock as a filter
    interval, once       -> arithmetic
    condition            -> the interval at which it looks
    event, after         -> no instants: WaitingRecurrence
    several lines        -> UnionRecurrence     each of the above, as one set

The parts, from the ground up: `rule` (words and the error), `days` (tables of matching days), `zones` (segments of
constant offset), `clockface` (times of day), `periods` (INTERVAL), `patterns` (their product), `units` (the same for
hours and finer), `counts` and `unit_counts` (COUNT), `exclusions` (calendars), `base` and `elapsed` (patterns met with
zones), a module for each kind, `union` (several rules), `anchors` (which rules are one), and `remarks` (what a reader
of a preview should know).
"""

from dataclasses import replace
from datetime import datetime, time, timedelta
from functools import lru_cache

from scheduling.core.recurrence.anchors import settled_anchor
from scheduling.core.recurrence.base import Recurrence, never_occurs
from scheduling.core.recurrence.context import Context, read_context
from scheduling.core.recurrence.cron import compile_cron
from scheduling.core.recurrence.exclusions import MAX_STRETCHES, Exclusions
from scheduling.core.recurrence.interval import compile_interval
from scheduling.core.recurrence.once import compile_once
from scheduling.core.recurrence.rrule import compile_rrule
from scheduling.core.recurrence.rule import Rule, ScheduleError
from scheduling.core.recurrence.union import compile_lines, lines_of
from scheduling.core.recurrence.waiting import compile_after, compile_condition, compile_event
from scheduling.core.recurrence.zones import get_zone

__all__ = [
    "Exclusions",
    "Recurrence",
    "Rule",
    "ScheduleError",
    "anchored",
    "compile_rule",
    "context_of",
    "settled_anchor",
]

_COMPILERS = {
    "cron": (compile_cron, "next"),
    "rrule": (compile_rrule, "shift"),
    "interval": (compile_interval, "shift"),
    "once": (compile_once, "shift"),
    "condition": (compile_condition, "shift"),
    "event": (compile_event, "shift"),
    "after": (compile_after, "shift"),
}
# What one search may have to pass over, less than 20 ms of it: an excluded time costs up to 50 microseconds, and more
# only of rules that occur once in years; a span costs 10.
MAX_EXDATES = 300
MAX_SPANS = 2_000
_FURTHEST_EXDATES = timedelta(days=40 * 365.25)
_OF_LINES = frozenset({"cron", "rrule"})


@lru_cache(maxsize=4096)
def compile_rule(rule: Rule) -> Recurrence:
    """Turn a rule's words into its instants; equal rules get the same object.

    The expression of a cron or rrule may be several rules, one a line, and names what any of them names.
    Raises ScheduleError for what is malformed, for what can never occur, and for an rrule or interval without
    `starts_at` (see `anchored`). A rule whose last occurrence is over is valid and has no next one.
    """
    if rule.kind not in _COMPILERS:
        raise ScheduleError(
            "unknown_kind",
            f"{rule.kind!r} is not a kind of schedule that can be planned",
            field="kind",
            hint=f"The kinds are {', '.join(_COMPILERS)}",
        )
    if sum(calendar.stretches for calendar in rule.calendars) > MAX_STRETCHES:
        raise ScheduleError(
            "too_many_stretches",
            f"The calendars have more than {MAX_STRETCHES} separate days and spans between them",
            field="calendars",
            hint="Days in a row and spans that touch count as one; leave out days that are over",
        )
    compiler, _ = _COMPILERS[rule.kind]
    context = context_of(rule)
    _require_bounded_exclusions(rule)
    recurrence: Recurrence
    if rule.kind in _OF_LINES:
        recurrence = compile_lines(compiler, rule.expression, context, code=f"invalid_{rule.kind}")
    else:
        recurrence = compiler(rule.expression, context)
    if recurrence.is_void and not recurrence.added:
        raise never_occurs(f"This never occurs: {context.zone.name} has no such time on any of its days")
    recurrence.calendars = rule.calendars
    return recurrence


def _require_bounded_exclusions(rule: Rule) -> None:
    """A search goes through what is excluded in a row one by one, and through each of several rules."""
    lines = max(1, len(lines_of(rule.expression))) if rule.kind in _OF_LINES else 1
    of_each = "" if lines == 1 else f", counted for each of {lines} rules"
    if len(rule.exdates) * lines > MAX_EXDATES:
        raise ScheduleError(
            "too_many_exdates",
            f"A schedule excludes at most {MAX_EXDATES} times{of_each}; here are {len(rule.exdates)}",
            field="exdates",
            hint="Leave out those that are over, or name their days in an exclusion calendar",
        )
    if rule.exdates and max(rule.exdates) - min(rule.exdates) > _FURTHEST_EXDATES:
        raise ScheduleError(
            "too_many_exdates",
            "The excluded times lie more than 40 years apart",
            field="exdates",
            hint="Leave out those that are over",
        )
    if sum(len(calendar.spans) for calendar in rule.calendars) * lines > MAX_SPANS:
        raise ScheduleError(
            "too_many_stretches",
            f"The calendars have more than {MAX_SPANS} separate spans between them{of_each}",
            field="calendars",
            hint="Spans that touch count as one; name whole days, or leave out what is over",
        )


def context_of(rule: Rule) -> Context:
    """Everything of a rule of a known kind but its expression, checked; raises ScheduleError."""
    _, default_gap = _COMPILERS[rule.kind]
    return read_context(rule, default_gap=default_gap)


def anchored(rule: Rule, *, at: datetime) -> Rule:
    """The rule itself where it has a `starts_at`, else anchored at 00:00:00 local of the day of `at`, an instant."""
    if rule.starts_at is not None:
        return rule
    today = get_zone(rule.timezone).to_wall(at).date()
    return replace(rule, starts_at=datetime.combine(today, time()))
