"""COUNT of rules of every hour or finer: how many counted units the days have.

Of a day only the first unit that INTERVAL reaches matters, counted from the day's begin: the days that begin alike have
as many. So that number is looked up, a day at a time, which costs a tenth of a microsecond.
"""

from collections.abc import Sequence

from scheduling.core.recurrence.units import Units


class UnitCounts:
    """`first` is always the first counted unit of a day, from 0; where the day has none, it lies beyond it."""

    def __init__(self, units: Units) -> None:
        self.per_day = units.per_day
        self.interval = units.interval
        # One byte for each unit of a day: 1 where its time is named.
        self._named = units.clockface.marks()[:: units.size] if units.clockface else b"\1" * units.per_day
        self._by_first = _counts_by_first(self._named, units.interval)
        self._before: dict[tuple[int, int], int] = {}

    def first_of(self, base: int, day: int) -> int:
        """`base` is any counted unit since day 0."""
        return (base - day * self.per_day) % self.interval

    def of_days(self, base: int, start: int, days: Sequence[int]) -> int:
        """How many counted units some days have, which are counted from the day `start`."""
        by_first, per_day, interval = self._by_first, self.per_day, self.interval
        known = len(by_first)
        base -= start * per_day
        if per_day % interval == 0:  # all days begin alike
            return len(days) * by_first[base % interval]
        return sum([by_first[first] for day in days if (first := (base - day * per_day) % interval) < known])

    def before(self, first: int, unit: int) -> int:
        """How many of a day's counted units come before one of its units."""
        if first >= unit:
            return 0
        # Clocks change at the same time of day, year after year.
        count = self._before.get((first, unit))
        if count is None:
            count = self._before[first, unit] = self._named[first : unit : self.interval].count(1)
        return count

    def nth(self, first: int, rank: int) -> int:
        """A day's counted unit with this rank, from 0."""
        named = self._named[first :: self.interval]
        at = -1
        for _ in range(rank + 1):
            at = named.index(1, at + 1)
        return first + at * self.interval


def _counts_by_first(named: bytes, interval: int) -> Sequence[int]:
    """For each first counted unit how many the day has; nothing beyond the day."""
    if len(named) // interval >= 255:
        return [named[first::interval].count(1) for first in range(interval)]
    # Too many to count one by one. Laid over each other, the stretches of an interval add up; a byte holds each sum.
    stretches = (named[start : start + interval] for start in range(0, len(named), interval))
    added = sum(int.from_bytes(stretch, "little") for stretch in stretches)
    return added.to_bytes(min(interval, len(named)), "little")
