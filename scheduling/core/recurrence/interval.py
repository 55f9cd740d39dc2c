"""Intervals: an ISO 8601 duration of elapsed time, counted from the anchor for ever."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NoReturn

from scheduling.core.recurrence.base import Recurrence
from scheduling.core.recurrence.context import Context
from scheduling.core.recurrence.rule import LATEST, ONE_SECOND, ScheduleError
from scheduling.core.recurrence.sentences import in_zone, listed, plural

_NUMBER = r"([0-9]{1,9})"
_DURATION = re.compile(rf"P(?:{_NUMBER}W|(?:{_NUMBER}D)?(?:T(?=[0-9])(?:{_NUMBER}H)?(?:{_NUMBER}M)?(?:{_NUMBER}S)?)?)")
_CALENDAR = re.compile(r"P(?=[0-9])(?:[0-9]+Y)?(?:[0-9]+M)?(?:[0-9]+W)?(?:[0-9]+D)?(?:T.*)?")
_LONGEST = timedelta(days=36_525)


@dataclass(slots=True, kw_only=True)
class IntervalRecurrence(Recurrence):
    """Every `step` from `anchor`, a naive instant, on; the wall clock plays no part but for exclusions."""

    anchor: datetime
    step: timedelta

    @property
    def counted_from(self) -> datetime | None:
        return self.anchor

    def rule_from(self, instant: datetime) -> datetime | None:
        steps = max(0, -((self.anchor - instant) // self.step))
        # Compared before it is added: a long step would leave the calendar.
        while steps <= (LATEST - self.anchor) // self.step:
            following = self.anchor + steps * self.step
            if not self._is_excluded(following):
                return following if following < LATEST else None
            steps += 1
        return None


def compile_interval(expression: str, context: Context) -> IntervalRecurrence:
    """Read and compile a duration, or raise ScheduleError `invalid_interval`."""
    amounts, step = _parse(expression.strip())
    return IntervalRecurrence(
        zone=context.zone,
        sentence=in_zone(_describe(amounts), context.zone.name),
        ends_at=context.ends_at,
        added=context.added,
        anchor=context.anchor_instant,
        step=step,
        excluded=context.excluded,
    )


def _parse(text: str) -> tuple[list[int], timedelta]:
    match = _DURATION.fullmatch(text)
    if match is None:
        if _CALENDAR.fullmatch(text) and ("Y" in text or "M" in text.partition("T")[0]):
            _refuse("An interval has no years or months, whose length varies", "Use an rrule with FREQ=MONTHLY")
        _refuse(f"{text[:40]!r} is not an ISO 8601 duration", "Write PT15M, PT1H30M or P1D, for example")
    amounts = [int(amount or 0) for amount in match.groups()]
    weeks, days, hours, minutes, seconds = amounts
    try:
        step = timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds)
    except OverflowError:
        step = timedelta.max
    if not ONE_SECOND <= step <= _LONGEST:
        _refuse("An interval is at least one second and at most a hundred years", None)
    return amounts, step


def _describe(amounts: list[int]) -> str:
    weeks, days, hours, minutes, seconds = amounts
    in_hours = (weeks * 7 + days) * 24 + hours  # "every day" would promise the same time of day
    named = ((in_hours, "hour"), (minutes, "minute"), (seconds, "second"))
    given = [(amount, name) for amount, name in named if amount]
    if len(given) == 1:
        return f"Every {plural(*given[0])}"
    return f"Every {listed([f'1 {name}' if amount == 1 else plural(amount, name) for amount, name in given])}"


def _refuse(detail: str, hint: str | None) -> NoReturn:
    raise ScheduleError("invalid_interval", detail, field="expression", hint=hint)
