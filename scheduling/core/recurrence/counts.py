"""COUNT: which wall time is the n-th of a rule, found year by year.

What a year contributes depends on its kind (see `days`), the next year's where a week runs over, and on where INTERVAL
stands when it begins. So it is worked out once for each, and the walk adds numbers up: COUNT costs a few milliseconds
whatever the rule. One that is not used up after 2,000 years that contribute bounds nothing that anyone will ask for. A
period belongs to the year in which it begins.
"""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import accumulate, chain, pairwise

from scheduling.core.recurrence.clockface import Clockface
from scheduling.core.recurrence.days import DayTable, kinds_from
from scheduling.core.recurrence.patterns import at_second, ranks_at, second_of_day
from scheduling.core.recurrence.periods import Periods
from scheduling.core.recurrence.rule import LATEST, ONE_SECOND
from scheduling.core.recurrence.zones import SETTLED, Zone

_MOST_PERIODS = 366  # that begin in one year
_MOST_YEARS = 2_000  # that contribute, a walk of 4 ms


@dataclass(slots=True, kw_only=True)
class Counts:
    """Counts the wall times of a DayPattern, or with `positions` of a PositionPattern, from `anchor` on.

    What the zone `skips` leaves out is not counted; None leaves nothing out.
    """

    anchor: datetime
    days: DayTable
    clockface: Clockface
    periods: Periods
    positions: tuple[int, ...] = ()
    skips: Zone | None = None
    _totals: dict[tuple[int, int], int] = field(default_factory=dict, init=False)
    _sizes: dict[int, list[int]] = field(default_factory=dict, init=False)
    _gaps: dict[int, list[tuple[int, int, int]]] = field(default_factory=dict, init=False)
    _ranks: dict[int, list[int]] = field(default_factory=dict, init=False)
    _anchor_index: int = field(init=False)

    def __post_init__(self) -> None:
        self._anchor_index = self.periods.index(self.anchor.toordinal())

    def has_any(self) -> bool:
        """False where no period of any year has a wall time, such as a second Monday of a week."""
        return any(any(self._sizes_in(year)) for year in range(2000, 2400))

    def nth(self, count: int) -> datetime | None:
        """The `count`-th wall time, from 1; None when it lies past the supported years, or after so many that it bounds
        nothing."""
        first_year = date.fromordinal(self.periods.bounds(self.anchor.toordinal())[0]).year
        left = count + self._counted_before_anchor(first_year)
        examined = 0
        for year in range(first_year, LATEST.year):
            total = self._total_of(year)
            examined += total > 0
            if examined > _MOST_YEARS:
                return None
            if left <= total:
                return self._nth_of_year(year, left - 1)
            left -= total
        return None

    def _total_of(self, year: int) -> int:
        """How many wall times count of the counted periods that begin in a year."""
        first, interval = self._first_counted(year), self.periods.interval
        if first > _MOST_PERIODS:
            return 0
        key = kinds_from(year), first
        total = self._totals.get(key)
        if total is not None:
            return total
        total = sum(self._sizes_in(year)[first::interval])
        if total and self.skips is not None:
            for period, start, end in self._gaps_in(year):
                if (period - first) % interval == 0:
                    total -= end - start
        # Before a zone follows a rule, years may have the same calendar and yet other gaps.
        if self.skips is None or year >= SETTLED:
            self._totals[key] = total
        return total

    def _first_counted(self, year: int) -> int:
        """Which of the periods that begin in a year is the first that INTERVAL counts, from 0; it may lie beyond."""
        return (self._anchor_index - self.periods.first_index(year)) % self.periods.interval

    def _ranges_of(self, year: int) -> tuple[list[int], list[tuple[int, int]]]:
        """Where each counted period of a year begins and ends among its wall times, and which of them do not count."""
        first, interval = self._first_counted(year), self.periods.interval
        sums = list(accumulate(self._sizes_in(year)[first::interval], initial=0))
        left_out = []
        for period, start, end in self._gaps_in(year):
            if (period - first) % interval == 0:
                before = sums[(period - first) // interval]
                left_out.append((before + start, before + end))
        return sums, left_out

    def _counted_before_anchor(self, year: int) -> int:
        """How many wall times of the year in which the anchor's period begins would count but for the anchor."""
        sums, left_out = self._ranges_of(year)
        starts = self.periods.starts_in(year)
        period = bisect_right(starts, self.anchor.toordinal()) - 1
        rank = sums[(period - self._first_counted(year)) // self.periods.interval]
        rank += self._rank_within(starts[period], starts[period + 1], self.anchor)
        return rank - sum(min(end, rank) - start for start, end in left_out if start < rank)

    def _nth_of_year(self, year: int, rank: int) -> datetime:
        """The wall time with this rank, from 0, of those that count."""
        sums, left_out = self._ranges_of(year)
        for start, end in left_out:
            if rank >= start:
                rank += end - start
        at = bisect_right(sums, rank) - 1
        period = self._first_counted(year) + at * self.periods.interval
        start, end = self.periods.starts_in(year)[period : period + 2]
        return self._wall_at(self.days.between(start, end), rank - sums[at])

    def _wall_at(self, days: list[int], rank: int) -> datetime:
        if self.positions:
            rank = self._ranks_of(len(days) * self.clockface.size)[rank]
        at, time = divmod(rank, self.clockface.size)
        return at_second(days[at], self.clockface.at(time))

    def _sizes_in(self, year: int) -> list[int]:
        """How many wall times each of the periods has that begin in a year."""
        sizes = self._sizes.get(kinds_from(year))
        if sizes is None:
            new_year, next_year = (date(each, 1, 1).toordinal() for each in (year, year + 1))
            days = [new_year + day for day in self.days.of_year(year)]
            starts = self.periods.starts_in(year)
            if starts[-1] > next_year:  # the days of the last week
                days += [next_year + day for day in self.days.of_year(year + 1)[:7]]
            cuts = [bisect_left(days, start) for start in starts]
            totals = ((high - low) * self.clockface.size for low, high in pairwise(cuts))
            sizes = self._sizes[kinds_from(year)] = [self._chosen_before(total, total) for total in totals]
        return sizes

    def _gaps_in(self, year: int) -> list[tuple[int, int, int]]:
        """What the zone leaves out of the periods that begin in a year: the period's number and a range of ranks."""
        if self.skips is None:
            return []
        key = kinds_from(year)
        if year >= SETTLED and key in self._gaps:
            return self._gaps[key]
        starts = self.periods.starts_in(year)
        found = []
        # A transition may fall in another year of UTC than of local time, and a week may end in the next year.
        for low, high in chain.from_iterable(self.skips.gaps_of(each) for each in range(year - 1, year + 2)):
            if low.date() == high.date() and self._time_rank(low) == self._time_rank(high):
                continue
            first, last = (bisect_right(starts, wall.toordinal()) - 1 for wall in (low, high - ONE_SECOND))
            for period in range(max(first, 0), min(last + 1, len(starts) - 1)):
                start, end = (self._rank_within(starts[period], starts[period + 1], wall) for wall in (low, high))
                if start < end:
                    found.append((period, start, end))
        if year >= SETTLED:
            self._gaps[key] = found
        return found

    def _rank_within(self, start: int, end: int, wall: datetime) -> int:
        """How many of the wall times of a period [start, end) come before one."""
        days = self.days.between(start, end)
        at = bisect_left(days, wall.toordinal())
        is_matching = at < len(days) and days[at] == wall.toordinal()
        rank = at * self.clockface.size + (self._time_rank(wall) if is_matching else 0)
        return self._chosen_before(rank, len(days) * self.clockface.size)

    def _time_rank(self, wall: datetime) -> int:
        return self.clockface.rank(second_of_day(wall))

    def _chosen_before(self, rank: int, total: int) -> int:
        """How many of the first `rank` of a period's `total` wall times are chosen."""
        return bisect_left(self._ranks_of(total), rank) if self.positions else rank

    def _ranks_of(self, total: int) -> list[int]:
        if total not in self._ranks:
            self._ranks[total] = ranks_at(self.positions, total)
        return self._ranks[total]
