"""Rules of days with every part that RFC 5545 has, against a reading of its table in section 3.3.10 that goes through
all days: which parts limit, which expand, what BYSETPOS counts. Nothing here comes from the recurrence."""

import calendar
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import groupby, islice

from hypothesis import example, given, settings
from hypothesis import strategies as st

from scheduling.core.recurrence import Rule
from tests.effort import examples
from tests.property.core.slow import WEEKDAYS
from tests.property.core.test_against_slow_truth import occurrences_or_none

ONE_DAY = timedelta(days=1)
_SHOWN = 8  # occurrences that are compared
_YEARS = 9  # of days that are gone through


def signed(low: int, high: int, most: int) -> st.SearchStrategy[str]:
    values = st.integers(low, high) | st.integers(-high, -low)
    return st.lists(values, min_size=1, max_size=most, unique=True).map(lambda each: ",".join(map(str, each)))


def plain(low: int, high: int, most: int) -> st.SearchStrategy[str]:
    return st.lists(st.integers(low, high), min_size=1, max_size=most, unique=True).map(
        lambda each: ",".join(map(str, each))
    )


def weekday_names(highest: int) -> st.SearchStrategy[str]:
    """Bare and numbered ones, mixed."""
    numbered = st.integers(1, highest) | st.integers(-highest, -1)
    one = st.builds(lambda at, name: f"{at or ''}{name}", st.just(0) | numbered if highest else st.just(0),
                    st.sampled_from(WEEKDAYS))  # fmt: skip
    return st.lists(one, min_size=1, max_size=4, unique=True).map(",".join)


@st.composite
def whole_rules(draw: st.DrawFn) -> str:
    freq = draw(st.sampled_from(["YEARLY", "MONTHLY", "WEEKLY", "DAILY"]))
    parts = {"FREQ": freq}

    def maybe(name: str, values: st.SearchStrategy[str], chance: int = 3) -> None:
        if draw(st.integers(0, chance)) == 0:
            parts[name] = draw(values)

    maybe("INTERVAL", st.integers(1, 3).map(str))
    maybe("WKST", st.sampled_from(WEEKDAYS))
    maybe("BYMONTH", plain(1, 12, 4))
    if freq != "WEEKLY":
        maybe("BYMONTHDAY", signed(1, 31, 5))
    if freq == "YEARLY":
        maybe("BYYEARDAY", signed(1, 366, 8))
        maybe("BYWEEKNO", signed(1, 53, 6))
    of_months = freq == "MONTHLY" or "BYMONTH" in parts
    highest = 0 if freq in ("WEEKLY", "DAILY") or "BYWEEKNO" in parts else 5 if of_months else 20
    maybe("BYDAY", weekday_names(highest), 1)
    maybe("BYHOUR", plain(0, 23, 2))
    if len(parts) > 1 and any(name.startswith("BY") for name in parts):
        maybe("BYSETPOS", signed(1, 6, 3), 1)
    return ";".join(f"{name}={value}" for name, value in parts.items())


def numbers(text: str) -> set[int]:
    return {int(item) for item in text.split(",")}


def week_of(day: date, week_start: int) -> tuple[int, int]:
    """The number of the day's week in its year, and of weeks in that year: the first has four days of the new year."""
    thursday = day + (3 - (day.weekday() - week_start) % 7) * ONE_DAY
    first = date(thursday.year, 1, 1)
    last = date(thursday.year, 12, 31)
    middles = [first + at * ONE_DAY for at in range((last - first).days + 1)]
    middles = [each for each in middles if (each.weekday() - week_start) % 7 == 3]
    return middles.index(thursday) + 1, len(middles)


class Reading:
    """A rule of days, read for a brute search."""

    def __init__(self, expression: str, anchor: datetime) -> None:
        self.parts = dict(part.split("=") for part in expression.split(";"))
        self.freq, self.anchor = self.parts["FREQ"], anchor
        self.week_start = WEEKDAYS.index(self.parts.get("WKST", "MO"))
        self.interval = int(self.parts.get("INTERVAL", 1))
        self.hours = sorted(numbers(self.parts["BYHOUR"])) if "BYHOUR" in self.parts else [anchor.hour]

    def period_of(self, day: date) -> int:
        if self.freq == "YEARLY":
            return day.year
        if self.freq == "MONTHLY":
            return day.year * 12 + day.month
        if self.freq == "WEEKLY":
            return (day - ((day.weekday() - self.week_start) % 7) * ONE_DAY).toordinal() // 7
        return day.toordinal()

    def names(self, day: date) -> bool:
        """Whether the BY parts, and what the anchor fills in for them, name the day."""
        parts, length = self.parts, calendar.monthrange(day.year, day.month)[1]
        if "BYMONTH" in parts and day.month not in numbers(parts["BYMONTH"]):
            return False
        if "BYMONTHDAY" in parts and not numbers(parts["BYMONTHDAY"]) & {day.day, day.day - length - 1}:
            return False
        if "BYYEARDAY" in parts:
            at, days = day.timetuple().tm_yday, 366 if calendar.isleap(day.year) else 365
            if not numbers(parts["BYYEARDAY"]) & {at, at - days - 1}:
                return False
        if "BYWEEKNO" in parts:
            week, weeks = week_of(day, self.week_start)
            if not numbers(parts["BYWEEKNO"]) & {week, week - weeks - 1}:
                return False
        if "BYDAY" in parts:
            return any(self._is_named(day, name) for name in parts["BYDAY"].split(","))
        return self._is_as_the_anchor(day)

    def _is_named(self, day: date, name: str) -> bool:
        if WEEKDAYS[day.weekday()] != name[-2:]:
            return False
        position = int(name[:-2] or 0)
        first, last = date(day.year, 1, 1), date(day.year, 12, 31)
        if self.freq == "MONTHLY" or "BYMONTH" in self.parts:
            first, last = day.replace(day=1), day.replace(day=calendar.monthrange(day.year, day.month)[1])
        from_start, from_end = (day - first).days // 7 + 1, (last - day).days // 7 + 1
        return position in (0, from_start, -from_end)

    def _is_as_the_anchor(self, day: date) -> bool:
        """Where no part names days, the anchor does."""
        if self.freq == "DAILY" or {"BYMONTHDAY", "BYYEARDAY"} & self.parts.keys():
            return True
        if self.freq == "WEEKLY" or "BYWEEKNO" in self.parts:
            return day.weekday() == self.anchor.weekday()
        is_month = self.freq == "MONTHLY" or "BYMONTH" in self.parts or day.month == self.anchor.month
        return is_month and day.day == self.anchor.day

    def occurrences(self) -> Iterator[datetime]:
        first = self.anchor.date()
        while first > date(first.year - 1, 12, 1) and self.period_of(first - ONE_DAY) == self.period_of(
            self.anchor.date()
        ):
            first -= ONE_DAY
        days = (first + at * ONE_DAY for at in range(_YEARS * 366))
        start = self.period_of(self.anchor.date())
        for period, members in groupby(days, self.period_of):
            # Of weeks the numbers differ by one from one to the next, whatever day they begin with.
            if (period - start) % self.interval:
                continue
            named = [
                datetime(day.year, day.month, day.day, hour, self.anchor.minute, self.anchor.second)
                for day in members
                if self.names(day)
                for hour in self.hours
            ]
            if "BYSETPOS" in self.parts:
                places = numbers(self.parts["BYSETPOS"])
                named = [each for at, each in enumerate(named) if {at + 1, at - len(named)} & places]
            yield from (each for each in named if each >= self.anchor)


anchors = st.datetimes(datetime(1990, 1, 1), datetime(2035, 12, 31)).map(lambda at: at.replace(microsecond=0))


@settings(deadline=None, max_examples=examples(150))
@given(expression=whole_rules(), anchor=anchors)
@example("FREQ=YEARLY;BYWEEKNO=53,-53;BYDAY=MO,SU;WKST=WE", datetime(1998, 12, 28, 9))
@example("FREQ=YEARLY;BYDAY=MO,2TU,-1FR;BYSETPOS=1,-1", datetime(2024, 2, 29, 23, 59, 59))
@example("FREQ=YEARLY;BYYEARDAY=366,-366,1;BYMONTHDAY=-31", datetime(2023, 1, 1))
@example("FREQ=WEEKLY;INTERVAL=2;BYDAY=SU,MO;WKST=SU;BYSETPOS=-1", datetime(2026, 11, 28, 8))
@example("FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYHOUR=9,17;BYSETPOS=-1,2", datetime(2025, 6, 30, 12))
def test_a_rule_of_days_names_what_its_parts_name(expression: str, anchor: datetime) -> None:
    just_before = anchor.replace(tzinfo=UTC) - timedelta(microseconds=1)
    end = anchor.replace(tzinfo=UTC) + timedelta(days=(_YEARS - 2) * 365)  # the last periods are cut off
    expected = [each.replace(tzinfo=UTC) for each in islice(Reading(expression, anchor).occurrences(), _SHOWN)]
    rule = Rule(kind="rrule", expression=expression, timezone="UTC", starts_at=anchor)

    found = occurrences_or_none(rule, just_before, _SHOWN)

    assert [each for each in found if each < end] == [each for each in expected if each < end]
