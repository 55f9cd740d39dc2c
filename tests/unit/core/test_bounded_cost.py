"""No rule, however odd or old, takes long: the searches jump, and those that cannot succeed end.

The budgets of the mixed population are those that `make bench` shows. Other limits are a hundred times what is
measured, so that only a crawl exceeds them.
"""

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest

from benchmarks.population import POPULATION, costs_of
from benchmarks.schedules import MEDIAN_BUDGET, WORST_BUDGET
from scheduling.core.recurrence import Rule, ScheduleError, compile_rule

TEN_YEARS_AGO = datetime(2015, 1, 1)
TODAY = datetime(2025, 6, 4, 10, 30, tzinfo=UTC)


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    began = time.thread_time()
    yield
    assert time.thread_time() - began < seconds


def test_a_mixed_population_keeps_the_budgets_of_the_next_occurrence():
    costs = {rule: costs_of(compile_rule(rule)) for rules in POPULATION.values() for rule in rules}

    slowest = max(costs, key=lambda rule: max(costs[rule]))
    assert statistics.median(cost for each in costs.values() for cost in each) <= MEDIAN_BUDGET
    assert max(costs[slowest]) <= WORST_BUDGET * 1000, slowest


@pytest.mark.parametrize(
    "expression",
    [
        "FREQ=SECONDLY",
        "FREQ=SECONDLY;INTERVAL=7;BYHOUR=3",
        "FREQ=SECONDLY;COUNT=999999999",
        "FREQ=SECONDLY;BYMONTH=2;BYMONTHDAY=29;BYHOUR=3;BYMINUTE=7;BYSECOND=1",
        "FREQ=MINUTELY;INTERVAL=7;BYDAY=MO;COUNT=1000000",
        "FREQ=MINUTELY;BYHOUR=9;BYMINUTE=30",
        "FREQ=HOURLY;INTERVAL=23;BYMONTH=1",
        "FREQ=DAILY;INTERVAL=3;COUNT=100000",
        "FREQ=DAILY;BYHOUR=1,2,3;BYSETPOS=-1",
        "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29;BYDAY=MO",
    ],
)
@pytest.mark.parametrize("timezone", ["UTC", "Europe/Chisinau"])
def test_the_next_occurrence_of_an_old_rule_is_found_at_once(expression, timezone):
    recurrence = compile_rule(
        Rule(kind="rrule", expression=expression, timezone=timezone, starts_at=TEN_YEARS_AGO, gap="next")
    )
    assert recurrence.next_after(TODAY) is not None

    with at_most(0.5):
        for _ in range(100):
            recurrence.next_after(TODAY)


@pytest.mark.parametrize(
    "expression",
    [
        "FREQ=SECONDLY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=SECONDLY;INTERVAL=2;BYSECOND=1",
        "FREQ=MINUTELY;INTERVAL=60;BYMINUTE=1",
        "FREQ=MINUTELY;BYSECOND=1,2;BYSETPOS=3",
        "FREQ=DAILY;INTERVAL=7;BYDAY=MO",
        "FREQ=DAILY;INTERVAL=7;BYDAY=MO;BYHOUR=1,2;BYSETPOS=1",
        "FREQ=YEARLY;INTERVAL=2;BYMONTH=2;BYMONTHDAY=29",
        "FREQ=YEARLY;BYWEEKNO=20;BYMONTH=1",
        "FREQ=MONTHLY;BYMONTH=2;BYMONTHDAY=30;BYSETPOS=1",
        "FREQ=SECONDLY;INTERVAL=86400;BYHOUR=3",
        "FREQ=SECONDLY;INTERVAL=1009;BYYEARDAY=366;BYDAY=SU;BYHOUR=0;BYMINUTE=0;BYSECOND=0",
        "FREQ=YEARLY;BYMONTHDAY=13;BYDAY=FR;BYHOUR=1;BYMINUTE=1;BYSECOND=1;BYSETPOS=7",
        "FREQ=DAILY;INTERVAL=2;BYHOUR=1;BYSETPOS=2",
    ],
)
def test_what_never_occurs_is_refused_at_once(expression):
    """In a tenth of a second of CPU; the best of three, for a neighbour's work is not the rule's."""
    rule = Rule(kind="rrule", expression=expression, starts_at=TEN_YEARS_AGO, timezone="UTC")
    spent = []
    for _ in range(3):
        began = time.thread_time()
        with pytest.raises(ScheduleError) as refused:
            compile_rule(rule)
        spent.append(time.thread_time() - began)

    assert refused.value.code == "never_occurs"
    assert min(spent) < 0.1


def test_days_that_an_interval_reaches_seldom_are_jumped_to():
    """Every 9973 seconds meets 03:07:01 once in 9973 days."""
    expression = "FREQ=SECONDLY;INTERVAL=9973;BYHOUR=3;BYMINUTE=7;BYSECOND=1"
    recurrence = compile_rule(Rule(kind="rrule", expression=expression, starts_at=TEN_YEARS_AGO))

    first, second = recurrence.occurrences(TODAY, 2)

    assert (first.hour, first.minute, first.second) == (3, 7, 1)
    assert (first.replace(tzinfo=None) - TEN_YEARS_AGO).total_seconds() % 9973 == 0
    assert (second - first).days == 9973
    assert recurrence.next_after(TODAY) == first


@pytest.mark.parametrize(
    "after", [datetime(1, 1, 2, tzinfo=UTC), datetime(1900, 1, 1, tzinfo=UTC), datetime.max.replace(tzinfo=UTC)]
)
@pytest.mark.parametrize(
    ("kind", "expression"),
    [
        ("cron", "0 8 * * *"),
        ("rrule", "FREQ=HOURLY"),
        ("rrule", "FREQ=DAILY"),
        ("interval", "PT1S"),
        ("once", "2025-01-01T00:00"),
    ],
)
def test_any_instant_may_be_asked_about(kind, expression, after):
    recurrence = compile_rule(
        Rule(kind=kind, expression=expression, timezone="America/New_York", starts_at=TEN_YEARS_AGO)
    )

    found = recurrence.next_after(after)

    assert found is None if after.year == 9999 else found is not None
