"""RRULEs by RFC 5545's own examples, python-dateutil and libical, of which neither is taken at its word.

Each difference has a reason, told with the RFC's sentence in docs/reference/rrule-differences.md, and dates
pinned here.
libical's answers were recorded (tests/oracles/libical.py); dateutil is asked.
"""

import json
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from dateutil.rrule import rrulestr

from scheduling.core.recurrence import Rule, compile_rule
from tests.oracles.rrule_cases import Case, cases, rfc_examples

ROOT = Path(__file__).parents[3]
LIBICAL = json.loads((ROOT / "tests/oracles/libical.json").read_text())
LIMIT = 24
# dateutil's answers and libical's are compared up to here: libical ends its searches in the year 2582.
END = datetime(2120, 1, 1)
NEW_YORK = "America/New_York"

# Reason -> (who else answers so differently, the rules).
DIFFERENCES: dict[str, dict[str, str]] = {
    "positions-whole-period": {
        "WEEKLY;BYDAY=MO,WE,FR;BYSETPOS=1": "both",
        "WEEKLY;BYDAY=MO,WE,FR;BYSETPOS=1,2": "both",
        "WEEKLY;INTERVAL=2;BYDAY=MO,FR;BYSETPOS=2": "both",
    },
    "positions-every-frequency": {
        "DAILY;BYHOUR=6,18;BYMINUTE=0,30;BYSETPOS=1,-1": "libical",
        "DAILY;BYHOUR=6,12,18;BYSETPOS=2": "libical",
        "DAILY;INTERVAL=2;BYHOUR=6,12,18;BYSETPOS=-2": "libical",
        "DAILY;BYSECOND=0,15,30,45;BYSETPOS=-1": "libical",
        "WEEKLY;BYDAY=MO,WE,FR;BYSETPOS=-1": "libical",
        "WEEKLY;BYDAY=MO,TU;BYHOUR=8,20;BYSETPOS=2,3": "libical",
        "WEEKLY;BYDAY=MO,SU;BYSETPOS=1;WKST=SU": "libical",
        "WEEKLY;BYDAY=SA,SU,MO;BYSETPOS=-1;WKST=SU": "libical",
        "HOURLY;BYMINUTE=10,20,30;BYSETPOS=-1": "libical",
        "MINUTELY;BYSECOND=0,30;BYSETPOS=2": "libical",
    },
    "positions-count-times": {
        "MONTHLY;BYMONTHDAY=1,15;BYHOUR=8,20;BYSETPOS=2,-2": "libical",
        "YEARLY;BYMONTH=6;BYDAY=MO,TU;BYHOUR=8,9;BYSETPOS=1,-1": "libical",
    },
    "mixed-weekdays": {
        "MONTHLY;BYDAY=1MO,-1MO,WE": "dateutil",
        "MONTHLY;BYDAY=2TU,FR": "dateutil",
        "YEARLY;BYDAY=5MO,FR;BYMONTH=5": "dateutil",
    },
    "negative-month-days": {
        "DAILY;BYMONTHDAY=-1,29": "libical",
        "DAILY;BYMONTHDAY=31,-31": "libical",
        "HOURLY;BYMONTHDAY=-1;BYHOUR=23": "libical",
    },
    "month-days-of-the-year": {
        "YEARLY;BYMONTHDAY=13": "libical",
        "YEARLY;BYMONTHDAY=-1": "libical",
        "YEARLY;INTERVAL=2;BYMONTHDAY=31": "libical",
        "YEARLY;BYMONTHDAY=13;BYDAY=FR": "libical",
    },
    "parts-together": {
        "YEARLY;BYYEARDAY=60,61;BYMONTH=3": "libical",
        "YEARLY;BYYEARDAY=60;BYMONTHDAY=29": "libical",
        "YEARLY;BYWEEKNO=10;BYMONTHDAY=8,9": "libical",
    },
    "week-without-weekday": {
        "YEARLY;BYWEEKNO=1": "both",
        "YEARLY;BYWEEKNO=1,53": "both",
        "YEARLY;BYWEEKNO=20,21": "both",
        "YEARLY;BYWEEKNO=5,9;BYMONTH=2": "both",
        "YEARLY;BYWEEKNO=1;BYMONTH=12": "both",
    },
    "week-numbers": {
        "YEARLY;BYWEEKNO=-1;BYDAY=SU": "libical",
        "YEARLY;BYWEEKNO=1;BYDAY=SU,MO;WKST=SU": "libical",
    },
    "weeks-and-interval": {
        "YEARLY;INTERVAL=2;BYWEEKNO=1;BYDAY=MO": "libical",
        "YEARLY;INTERVAL=2;BYWEEKNO=53;BYDAY=SA": "both",
    },
    "interval-from-the-start": {"SECONDLY;INTERVAL=7;BYMINUTE=30": "libical"},
    "no-occurrence-twice": {"HOURLY;BYDAY=MO;BYHOUR=8,9": "libical"},
    "until-a-date": {"WEEKLY;UNTIL=20240122;BYDAY=MO": "both"},
}
_DIFFERING = {rule: who for rules in DIFFERENCES.values() for rule, who in rules.items()}


def ours(case: Case, *, count: int = LIMIT, zone: str = "UTC") -> list[datetime]:
    """The first local times of a rule."""
    rule = Rule(kind="rrule", expression=case.rule, starts_at=case.start, timezone=zone)
    found = compile_rule(rule).occurrences(datetime(1990, 1, 1, tzinfo=UTC), count)
    return [at.astimezone(ZoneInfo(zone)).replace(tzinfo=None) for at in found]


def of_dateutil(case: Case) -> list[datetime]:
    start = (
        case.start.replace(tzinfo=UTC)
        if case.rule.partition("UNTIL=")[2].partition(";")[0].endswith("Z")
        else case.start
    )
    return [at.replace(tzinfo=None) for at in islice(rrulestr(case.rule, dtstart=start), LIMIT)]


def before_end(times: list[datetime]) -> list[datetime]:
    return [at for at in times if at < END]


@pytest.mark.parametrize(("case", "listed", "is_all"), [pytest.param(*row, id=row[0].key) for row in rfc_examples()])
def test_the_rfcs_own_examples(case: Case, listed: list[datetime], is_all: bool) -> None:
    found = ours(case, count=len(listed) + 1, zone=NEW_YORK)

    assert found[: len(listed)] == listed
    assert len(found) == len(listed) + (not is_all)


@pytest.mark.parametrize("case", [pytest.param(case, id=case.key) for case in cases()])
def test_each_rule_is_what_the_others_say_or_a_known_difference(case: Case) -> None:
    found = before_end(ours(case))
    others = {
        "libical": before_end([datetime.fromisoformat(at) for at in LIBICAL[case.key]]),
        "dateutil": before_end(of_dateutil(case)),
    }

    differing = [name for name, answer in others.items() if answer != found]

    known = _DIFFERING.get(case.rule.removeprefix("FREQ="), "")
    assert differing == {"": [], "both": ["libical", "dateutil"]}.get(known, [known]), found


def test_each_reason_is_told_with_the_rfcs_sentence() -> None:
    page = (ROOT / "docs/reference/rrule-differences.md").read_text()

    told = [line.split("{#")[1].rstrip("}") for line in page.splitlines() if line.startswith("## ") and "{#" in line]

    assert set(DIFFERENCES) <= set(told)
    assert all(f"`FREQ={rule}`" in page for rules in DIFFERENCES.values() for rule in list(rules)[:1])


def dates(rule: str, count: int, start: datetime = datetime(2024, 1, 1, 9)) -> str:
    return " ".join(f"{at:%Y-%m-%d}" for at in ours(Case(start, f"FREQ={rule}"), count=count))


def times(rule: str, count: int, start: datetime = datetime(2024, 1, 1, 9)) -> str:
    return " ".join(f"{at:%d/%H:%M:%S}" for at in ours(Case(start, f"FREQ={rule}"), count=count))


WEDNESDAY = datetime(2024, 1, 3, 9)


def test_positions_whole_period() -> None:
    """The Monday before the start is the first of its week, though it does not occur itself."""
    assert dates("WEEKLY;BYDAY=MO,WE,FR;BYSETPOS=1", 2, WEDNESDAY) == "2024-01-08 2024-01-15"
    assert dates("WEEKLY;BYDAY=MO,WE,FR;BYSETPOS=1,2", 3, WEDNESDAY) == "2024-01-03 2024-01-08 2024-01-10"
    assert dates("WEEKLY;INTERVAL=2;BYDAY=MO,FR;BYSETPOS=2", 2, WEDNESDAY) == "2024-01-05 2024-01-19"


def test_positions_every_frequency() -> None:
    assert times("DAILY;BYHOUR=6,12,18;BYSETPOS=2", 2) == "01/12:00:00 02/12:00:00"
    assert times("HOURLY;BYMINUTE=10,20,30;BYSETPOS=-1", 2) == "01/09:30:00 01/10:30:00"
    assert dates("WEEKLY;BYDAY=SA,SU,MO;BYSETPOS=-1;WKST=SU", 2, WEDNESDAY) == "2024-01-06 2024-01-13"


def test_positions_count_times() -> None:
    """Of 1 at 8 and 20 and 15 at 8 and 20, the second and the last but one."""
    found = times("MONTHLY;BYMONTHDAY=1,15;BYHOUR=8,20;BYSETPOS=2,-2", 2)

    assert found == "01/20:00:00 15/08:00:00"


def test_mixed_weekdays() -> None:
    assert dates("MONTHLY;BYDAY=2TU,FR", 4) == "2024-01-05 2024-01-09 2024-01-12 2024-01-19"


def test_negative_month_days() -> None:
    assert dates("DAILY;BYMONTHDAY=-1,29", 4) == "2024-01-29 2024-01-31 2024-02-29 2024-03-29"
    assert times("HOURLY;BYMONTHDAY=-1;BYHOUR=23", 2) == "31/23:00:00 29/23:00:00"


def test_month_days_of_the_year() -> None:
    assert dates("YEARLY;BYMONTHDAY=13", 3) == "2024-01-13 2024-02-13 2024-03-13"
    assert dates("YEARLY;BYMONTHDAY=13;BYDAY=FR", 3) == "2024-09-13 2024-12-13 2025-06-13"


def test_parts_together() -> None:
    assert dates("YEARLY;BYYEARDAY=60,61;BYMONTH=3", 3) == "2024-03-01 2025-03-01 2025-03-02"
    assert dates("YEARLY;BYYEARDAY=60;BYMONTHDAY=29", 2) == "2024-02-29 2028-02-29"
    assert dates("YEARLY;BYWEEKNO=10;BYMONTHDAY=8,9", 3) == "2024-03-08 2024-03-09 2025-03-08"


def test_week_without_weekday() -> None:
    assert dates("YEARLY;BYWEEKNO=20,21", 4) == "2024-05-13 2024-05-20 2025-05-12 2025-05-19"
    assert dates("YEARLY;BYWEEKNO=1,53", 3, WEDNESDAY) == "2024-01-03 2025-01-01 2025-12-31"


def test_week_numbers() -> None:
    """By ISO 8601: the last week of 2024 is its 52nd and ends on 29 December."""
    assert datetime(2024, 12, 29).isocalendar() == (2024, 52, 7)
    assert dates("YEARLY;BYWEEKNO=-1;BYDAY=SU", 3) == "2024-12-29 2025-12-28 2027-01-03"
    assert dates("YEARLY;BYWEEKNO=1;BYDAY=SU,MO;WKST=SU", 3) == "2024-01-01 2024-12-29 2024-12-30"


def test_weeks_and_interval() -> None:
    """The calendar years 2024, 2026, 2028; Saturday 1 January 2050, which dateutil adds, is in week 52."""
    assert dates("YEARLY;INTERVAL=2;BYWEEKNO=1;BYDAY=MO", 3) == "2024-01-01 2024-12-30 2028-01-03"
    assert datetime(2050, 1, 1).isocalendar() == (2049, 52, 6)
    assert dates("YEARLY;INTERVAL=2;BYWEEKNO=53;BYDAY=SA", 3) == "2038-01-02 2044-01-02 2066-01-02"


def test_interval_from_the_start() -> None:
    """09:30:06 is 258 times seven seconds after nine; 09:30:00 is not a multiple."""
    assert times("SECONDLY;INTERVAL=7;BYMINUTE=30", 2) == "01/09:30:06 01/09:30:13"


def test_no_occurrence_twice() -> None:
    assert times("HOURLY;BYDAY=MO;BYHOUR=8,9", 3) == "01/09:00:00 08/08:00:00 08/09:00:00"


def test_until_a_date() -> None:
    assert dates("WEEKLY;UNTIL=20240122;BYDAY=MO", 9) == "2024-01-01 2024-01-08 2024-01-15 2024-01-22"


def test_second_60_is_second_59() -> None:
    assert times("DAILY;BYSECOND=60", 2) == "01/09:00:59 02/09:00:59"
    assert times("DAILY;BYSECOND=59,60", 2) == "01/09:00:59 02/09:00:59"


def test_the_printed_until_of_the_hourly_example_ends_at_one_o_clock() -> None:
    printed = Case(datetime(1997, 9, 2, 9), "FREQ=HOURLY;INTERVAL=3;UNTIL=19970902T170000Z")

    assert [at.hour for at in ours(printed, zone=NEW_YORK)] == [9, 12]
