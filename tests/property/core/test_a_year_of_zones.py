"""A whole year in each of the world's odd zones, against a look at every single minute of it."""

from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import product
from typing import Any

import pytest

from scheduling.core.recurrence import Rule, compile_rule
from tests.property.core.minutes import DAY, Year, instant_of, minute_of

# Zone, year, and how many times its clock jumps in it: the oracle has to see what the year was chosen for.
YEARS = [
    ("Australia/Lord_Howe", 2025, 2),  # half an hour
    ("Pacific/Apia", 2011, 3),  # 30 December is left out, and two changes of summer time
    ("Africa/Casablanca", 2025, 2),  # backwards for Ramadan
    ("Asia/Kathmandu", 1985, 1),  # +05:30 to +05:45, with the new year
    ("Pacific/Chatham", 2025, 2),  # +12:45, at 02:45
    ("America/St_Johns", 2010, 2),  # at one minute past midnight
    ("Antarctica/Troll", 2025, 2),  # two hours
    ("Europe/Dublin", 2025, 2),  # winter is the exception: negative summer time
    ("America/Havana", 2025, 2),  # midnight is left out, and 00:30 comes twice
    ("Asia/Beirut", 2025, 2),  # midnight
    ("Africa/Cairo", 2014, 4),  # at midnight, and suspended for Ramadan
    ("America/Asuncion", 2024, 2),
    ("Asia/Tehran", 2022, 2),  # the last summer time
    ("Europe/Chisinau", 2025, 2),
    ("Europe/Berlin", 2025, 2),
    ("America/New_York", 2025, 2),
    ("Australia/Sydney", 2025, 2),
    ("America/Sao_Paulo", 2018, 2),  # midnight
    ("America/Nuuk", 2024, 2),
    ("Pacific/Easter", 2025, 2),
    ("Asia/Kolkata", 2025, 0),
    ("America/Caracas", 2016, 1),  # half an hour, once
    ("Pacific/Kwajalein", 1993, 1),  # 21 August is left out
]
GAPS, FOLDS = ("shift", "next", "skip"), ("first", "second", "both")
PAIRS = [("shift", "first"), ("next", "second"), ("skip", "both")]
# Kind, expression, the times of day that it lets through, and its interval in minutes.
ELAPSED_RULES: list[tuple[str, str, Callable[[int], bool], int]] = [
    ("cron", "0 * * * *", lambda time: time % 60 == 0, 1),
    ("cron", "*/20 0-3 * * *", lambda time: time % 20 == 0 and time < 240, 1),
    ("cron", "17 */2 * * *", lambda time: time % 60 == 17 and time // 60 % 2 == 0, 1),
    ("cron", "*/15 3 * * *", lambda time: time % 15 == 0 and time // 60 == 3, 1),
    ("rrule", "FREQ=HOURLY;BYMINUTE=40;BYSECOND=0", lambda time: time % 60 == 40, 1),
    ("rrule", "FREQ=HOURLY;INTERVAL=5", lambda _: True, 300),
    ("rrule", "FREQ=HOURLY;INTERVAL=5;BYSECOND=0", lambda _: True, 300),
    ("rrule", "FREQ=MINUTELY;INTERVAL=7;BYHOUR=0,1,2,23", lambda time: time // 60 in (0, 1, 2, 23), 7),
    ("rrule", "FREQ=SECONDLY;INTERVAL=6600", lambda _: True, 110),
    ("interval", "PT95M", lambda _: True, 95),
]


def found_in(year: Year, rule: Rule, low: int | None = None, high: int | None = None) -> list[int]:
    """The occurrences of a rule within [low, high) or the year, each asked for by the one before, as minutes."""
    recurrence = compile_rule(rule)
    end = instant_of(high or year.end)
    found = []
    at = recurrence.next_after(instant_of(low or year.start) - timedelta(seconds=1))
    while at is not None and at < end:
        assert at.second == 0
        found.append(minute_of(at.replace(tzinfo=None)))
        at = recurrence.next_after(at)
    return found


def kinds(time_of_day: int) -> list[tuple[str, str]]:
    hour, minute = divmod(time_of_day, 60)
    return [("cron", f"{minute} {hour} * * *"), ("rrule", f"FREQ=DAILY;BYHOUR={hour};BYMINUTE={minute};BYSECOND=0")]


@pytest.mark.parametrize(("zone", "number", "jumps"), YEARS)
def test_a_year_of_a_zone_minute_by_minute(zone: str, number: int, jumps: int) -> None:
    """One test for each zone: its year is read once."""
    year = Year(zone, number)
    assert len(year.jumps) == jumps
    check_daily_times(year, zone)
    check_every_pair_of_policies(year, zone)
    check_elapsed_rules(year, zone)


def rule_of(year: Year, zone: str, kind: str, expression: str, **policies: Any) -> Rule:
    """Anchored where the year in UTC begins."""
    starts_at = datetime(1970, 1, 1) + timedelta(minutes=year.walls[0])
    return Rule(kind=kind, expression=expression, timezone=zone, starts_at=starts_at, **policies)


def check_daily_times(year: Year, zone: str) -> None:
    """The whole year, at a quiet time and in the middle of each gap and fold, with cron and RRULE."""
    for time_of_day in {9 * 60, *((expected + shown) // 2 % DAY for _, expected, shown in year.jumps)}:
        for gap, fold in PAIRS:
            expected = year.daily(time_of_day, gap=gap, fold=fold)
            for kind, expression in kinds(time_of_day):
                rule = rule_of(year, zone, kind, expression, gap=gap, fold=fold)
                assert found_in(year, rule) == expected, (expression, gap, fold)


def check_every_pair_of_policies(year: Year, zone: str) -> None:
    """The days around each gap and fold, at its edges too."""
    for instant, expected, shown in year.jumps:
        low, high = max(instant - 2 * DAY, year.start), min(instant + 2 * DAY, year.end)
        begin, end = sorted((expected, shown))
        for time_of_day in {at % DAY for at in (begin - 1, begin, (begin + end) // 2, end - 1, end)}:
            for gap, fold in product(GAPS, FOLDS):
                wanted = [at for at in year.daily(time_of_day, gap=gap, fold=fold) if low <= at < high]
                for kind, expression in kinds(time_of_day):
                    rule = rule_of(year, zone, kind, expression, gap=gap, fold=fold)
                    assert found_in(year, rule, low, high) == wanted, (expression, gap, fold)


def check_elapsed_rules(year: Year, zone: str) -> None:
    """Every hour or finer: elapsed time counts, and the wall clock only chooses, whatever the policies say."""
    windows = [(max(at - 4 * DAY, year.start), min(at + 4 * DAY, year.end)) for at, _, _ in year.jumps]
    for kind, expression, shows, every in ELAPSED_RULES:
        expected = year.where(shows, every=every)
        is_sparse = len(expected) < 3000
        for gap, fold in PAIRS if kind == "cron" else PAIRS[:1]:
            rule = rule_of(year, zone, kind, expression, gap=gap, fold=fold)
            for low, high in [(year.start, year.end)] if is_sparse else windows:
                wanted = [at for at in expected if low <= at < high]
                assert found_in(year, rule, low, high) == wanted, (expression, gap, fold)
