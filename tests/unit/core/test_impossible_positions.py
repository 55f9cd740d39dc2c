"""BYSETPOS that no period has: refused, and quickly, whatever the period."""

import time
from datetime import datetime

import pytest

from scheduling.core.recurrence import Rule, ScheduleError, compile_rule


@pytest.mark.parametrize(
    "expression",
    [
        "FREQ=YEARLY;BYMONTHDAY=13;BYDAY=FR;BYHOUR=1;BYMINUTE=1;BYSECOND=1;BYSETPOS=7",
        "FREQ=YEARLY;BYDAY=MO;BYSETPOS=54",
        "FREQ=YEARLY;INTERVAL=7;BYDAY=MO;BYSETPOS=54",
        "FREQ=YEARLY;BYWEEKNO=53;BYDAY=MO,TU;BYSETPOS=3",
        "FREQ=MONTHLY;BYDAY=MO;BYSETPOS=6",
        "FREQ=WEEKLY;BYDAY=MO;BYSETPOS=3",
        "FREQ=DAILY;BYHOUR=1,2;BYSETPOS=3",
    ],
)
def test_a_position_that_no_period_has_is_refused_quickly(expression):
    began = time.process_time()

    with pytest.raises(ScheduleError) as refused:
        compile_rule(Rule(kind="rrule", expression=expression, starts_at=datetime(2026, 1, 1)))

    assert refused.value.code == "never_occurs"
    assert time.process_time() - began < 0.5  # a twentieth of a second alone; tests share their machine


def test_a_position_that_one_year_in_many_has_is_found():
    rule = Rule(kind="rrule", expression="FREQ=YEARLY;BYDAY=MO;BYSETPOS=53", starts_at=datetime(2026, 1, 1))

    assert compile_rule(rule) is not None
