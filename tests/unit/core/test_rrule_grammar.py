"""What RFC 5545 3.3.10 allows and forbids, where the acceptance cases do not say it."""

from datetime import datetime

import pytest

from scheduling.core.recurrence import Rule, ScheduleError, compile_rule
from tests.unit.core.schedules import local_times

START = "2025-01-01T00:00:00"


def test_a_leap_second_is_read_as_the_second_before_it():
    found = local_times(2, kind="rrule", expression="FREQ=DAILY;BYHOUR=8;BYMINUTE=59;BYSECOND=60", starts_at=START)

    assert found == ["2025-01-01T08:59:59+00:00", "2025-01-02T08:59:59+00:00"]


def test_a_leap_second_and_the_second_before_it_are_one():
    found = local_times(2, kind="rrule", expression="FREQ=MINUTELY;BYSECOND=59,60", starts_at=START)

    assert found == ["2025-01-01T00:00:59+00:00", "2025-01-01T00:01:59+00:00"]


@pytest.mark.parametrize(("until", "count"), [("20250102T235960Z", 2), ("20250102T235960", 2), ("20250102T235958Z", 1)])
def test_until_may_be_a_leap_second(until, count):
    text = f"FREQ=DAILY;BYHOUR=23;BYMINUTE=59;BYSECOND=59;UNTIL={until}"

    assert len(local_times(9, kind="rrule", expression=text, starts_at=START)) == count


@pytest.mark.parametrize(
    "expression",
    [
        "BYHOUR=8;FREQ=DAILY",
        "freq=daily;byhour=8",
        "FREQ=MONTHLY;BYMONTHDAY=+1,-1,01",
        "FREQ=YEARLY;BYYEARDAY=-366,001",
        "FREQ=YEARLY;BYWEEKNO=-53;WKST=SU",
        "FREQ=YEARLY;BYDAY=+53MO",
        "FREQ=SECONDLY;BYYEARDAY=1",
        "FREQ=HOURLY;BYMONTHDAY=1;BYSETPOS=1",
        "FREQ=DAILY;UNTIL=19970902",
    ],
)
def test_what_the_grammar_allows_is_read(expression):
    compile_rule(Rule(kind="rrule", expression=expression, starts_at=datetime(2025, 1, 1)))


@pytest.mark.parametrize(
    "expression",
    [
        "FREQ=DAILY;BYSECOND=61",
        "FREQ=DAILY;BYHOUR=009",
        "FREQ=DAILY;BYHOUR=+9",
        "FREQ=DAILY;BYHOUR=-1",
        "FREQ=MONTHLY;BYMONTHDAY=001",
        "FREQ=MONTHLY;BYMONTHDAY=0",
        "FREQ=YEARLY;BYDAY=1MO;BYWEEKNO=20",
        "FREQ=WEEKLY;BYMONTHDAY=1",
        "FREQ=MONTHLY;BYYEARDAY=1",
        "FREQ=MONTHLY;BYWEEKNO=1",
        "FREQ=DAILY;BYSETPOS=1",
        "FREQ=DAILY;COUNT=0",
        "FREQ=DAILY;X-PART=1",
        "RSCALE=GREGORIAN;FREQ=DAILY",
        "FREQ=DAILY; BYHOUR=8",
        "FREQ=DA\u0131LY",
        "FREQ=DAILY;BY\u017fECOND=1",
        "FREQ=DAILY;COUNT=\u0663",
        "FREQ=DAILY;UNTIL=20250102T246060Z",
    ],
)
def test_what_the_grammar_forbids_is_refused(expression):
    with pytest.raises(ScheduleError) as refused:
        compile_rule(Rule(kind="rrule", expression=expression, starts_at=datetime(2025, 1, 1)))

    assert refused.value.code == "invalid_rrule"
