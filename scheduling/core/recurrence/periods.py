"""The periods that FREQ and INTERVAL count: whole years, months, weeks or days from the anchor on, for ever."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from math import lcm
from typing import Literal, TypeAlias

from scheduling.core.recurrence.rule import LATEST

Unit: TypeAlias = Literal["YEARLY", "MONTHLY", "WEEKLY", "DAILY"]

_END = LATEST.toordinal()
# The calendar repeats after 400 years, weekdays included.
CYCLE_DAYS = 146_097
_PERIODS_IN_CYCLE = {"YEARLY": 400, "MONTHLY": 4800, "WEEKLY": CYCLE_DAYS // 7, "DAILY": CYCLE_DAYS}


@dataclass(frozen=True, slots=True)
class Periods:
    """Every `interval`-th period, the anchor's being one. Days are ordinals; `week_start` is 0 for Monday."""

    unit: Unit
    interval: int
    anchor: int
    week_start: int = 0

    def first_from(self, ordinal: int) -> int | None:
        """The first day at or after `ordinal` that lies in a counted period; None after the supported years."""
        index = self.index(ordinal)
        behind = (index - self.index(self.anchor)) % self.interval
        if not behind:
            return ordinal
        return self.start(index + self.interval - behind)

    @property
    def cycle(self) -> int:
        """The days after which the calendar and the counted periods stand as they stood: what has not come in them will
        not come."""
        return lcm(_PERIODS_IN_CYCLE[self.unit], self.interval) // _PERIODS_IN_CYCLE[self.unit] * CYCLE_DAYS

    def bounds(self, ordinal: int) -> tuple[int, int]:
        """The period [start, end) that a day lies in."""
        index = self.index(ordinal)
        start = self.start(index)
        if start is None:  # the last supported year: what is cut off there is asked for by nobody
            return ordinal, _END
        return max(start, 1), self.start(index + 1) or _END

    def first_index(self, year: int) -> int:
        """The number of the first period that begins in a year."""
        if self.unit == "YEARLY":
            return year
        if self.unit == "MONTHLY":
            return year * 12
        new_year = date(year, 1, 1).toordinal()
        return new_year if self.unit == "DAILY" else -((1 + self.week_start - new_year) // 7)

    def starts_in(self, year: int) -> Sequence[int]:
        """The first days of the periods that begin in a year, and of the one after them."""
        if self.unit in ("DAILY", "WEEKLY"):
            length, offset = (1, 0) if self.unit == "DAILY" else (7, 1 + self.week_start)
            first, end = (self.first_index(each) * length + offset for each in (year, year + 1))
            return range(first, end + 1, length)
        months = (1,) if self.unit == "YEARLY" else range(1, 13)
        return [*(date(year, month, 1).toordinal() for month in months), date(year + 1, 1, 1).toordinal()]

    def index(self, ordinal: int) -> int:
        if self.unit == "DAILY":
            return ordinal
        if self.unit == "WEEKLY":
            return (ordinal - 1 - self.week_start) // 7  # ordinal 1 is a Monday
        day = date.fromordinal(ordinal)
        return day.year if self.unit == "YEARLY" else day.year * 12 + day.month - 1

    def start(self, index: int) -> int | None:
        """The first day of a period, or None where that is past the supported years."""
        if self.unit in ("DAILY", "WEEKLY"):
            ordinal = index if self.unit == "DAILY" else index * 7 + 1 + self.week_start
            return ordinal if ordinal < _END else None
        year, month = (index, 0) if self.unit == "YEARLY" else divmod(index, 12)
        return date(year, month + 1, 1).toordinal() if year < LATEST.year else None
