"""RRULEs by RFC 5545's own examples, and as libical, ical.js and python-dateutil read them.

Nobody is taken at their word. docs/reference/rrule-differences.md lists each case that somebody reads differently,
under the sentence of the RFC that decides it; this module reads its tables and pins what the sentences come to. The
answers of libical and ical.js were recorded (tests/oracles/record.py); dateutil is asked.
"""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from textwrap import dedent
from typing import NamedTuple
from zoneinfo import ZoneInfo

import pytest
from dateutil.rrule import rrulestr

from scheduling.core.recurrence import Rule, compile_rule
from tests.oracles.rrule_cases import Case, cases, read, rfc_examples, start_of

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/reference/rrule-differences.md").read_text(encoding="utf-8")
RECORDED = {
    "libical": json.loads((ROOT / "tests/oracles/libical.json").read_text()),
    "ical.js": json.loads((ROOT / "tests/oracles/ical_js.json").read_text()),
}
LIMIT = 24
# Answers are compared up to here: libical ends its searches in the year 2582.
END = datetime(2120, 1, 1)
NEW_YORK = "America/New_York"

# What the sentence of each section comes to, worked out by hand: `start | rule | first times`, each time as far as it
# matters. A list that ends in `end` is complete.
BY_HAND = {
    "first-occurrence": """
        19970902T090000 | DAILY;BYMONTH=1 | 1998-01-01 1998-01-02
        19970902T090000 | DAILY;BYDAY=MO,WE | 1997-09-03 1997-09-08
        19970902T090000 | MONTHLY;BYMONTH=6,12;BYDAY=-1FR | 1997-12-26 1998-06-26
        20240131T083015 | MONTHLY;BYMONTH=6,12;BYDAY=-1FR | 2024-06-28 2024-12-27
        20240131T083015 | HOURLY;BYHOUR=9,10,11 | 2024-01-31T09:30:15 2024-01-31T10:30:15
    """,
    # The Monday before the start is the first of its week, though it does not occur itself.
    "positions-whole-period": """
        20240103T090000 | WEEKLY;BYDAY=MO,WE,FR;BYSETPOS=1 | 2024-01-08 2024-01-15
        20240103T090000 | WEEKLY;BYDAY=MO,WE,FR;BYSETPOS=1,2 | 2024-01-03 2024-01-08 2024-01-10
        20240103T090000 | WEEKLY;INTERVAL=2;BYDAY=MO,FR;BYSETPOS=2 | 2024-01-05 2024-01-19
        19970902T090000 | WEEKLY;BYDAY=MO,WE,FR;BYSETPOS=2 | 1997-09-03 1997-09-10
    """,
    "positions-every-frequency": """
        20240101T090000 | DAILY;BYHOUR=6,12,18;BYSETPOS=2 | 2024-01-01T12:00:00 2024-01-02T12:00:00
        20240101T090000 | HOURLY;BYMINUTE=10,20,30;BYSETPOS=-1 | 2024-01-01T09:30:00 2024-01-01T10:30:00
        20240103T090000 | WEEKLY;BYDAY=SA,SU,MO;BYSETPOS=-1;WKST=SU | 2024-01-06 2024-01-13
        19970902T090000 | WEEKLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1 | 1997-09-05 1997-09-12
        19970902T090000 | YEARLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=1,-1 | 1997-12-31 1998-01-01 1998-12-31 1999-01-01
        19970902T090000 | YEARLY;BYMONTH=1,6;BYMONTHDAY=1,2,3;BYSETPOS=2,-2 | 1998-01-02 1998-06-02
        20240101T090000 | MONTHLY;BYDAY=SU;BYSETPOS=-5 | 2024-03-03 2024-06-02 2024-09-01
    """,
    # Of the 1st at 8 and 20 and the 15th at 8 and 20, the second and the last but one.
    "positions-count-times": """
        20240101T090000 | MONTHLY;BYMONTHDAY=1,15;BYHOUR=8,20;BYSETPOS=2,-2 | 2024-01-01T20:00:00 2024-01-15T08:00:00
    """,
    "mixed-weekdays": """
        20240101T090000 | MONTHLY;BYDAY=2TU,FR | 2024-01-05 2024-01-09 2024-01-12 2024-01-19
        19970902T090000 | MONTHLY;BYDAY=1MO,-1MO,WE | 1997-09-03 1997-09-10 1997-09-17 1997-09-24 1997-09-29
    """,
    # 2028 is a leap year from a Saturday on, 2034 begins with a Sunday: these have 53 Sundays.
    "numbered-weekdays": """
        19970902T090000 | YEARLY;BYDAY=20MO | 1998-05-18 1999-05-17
        20240101T090000 | YEARLY;BYDAY=-53SU | 2028-01-02 2034-01-01
        20240120T120000 | MONTHLY;BYDAY=1SA,3SA;BYHOUR=7,19;BYMINUTE=15 | 2024-01-20T19:15:00 2024-02-03T07:15:00
    """,
    "negative-month-days": """
        20240101T090000 | DAILY;BYMONTHDAY=-1,29 | 2024-01-29 2024-01-31 2024-02-29 2024-03-29
        20240101T090000 | HOURLY;BYMONTHDAY=-1;BYHOUR=23 | 2024-01-31T23:00:00 2024-02-29T23:00:00
        19970902T090000 | DAILY;BYMONTHDAY=1,15,-1 | 1997-09-15 1997-09-30 1997-10-01
    """,
    "month-days-of-the-year": """
        20240101T090000 | YEARLY;BYMONTHDAY=13 | 2024-01-13 2024-02-13 2024-03-13
        20240101T090000 | YEARLY;BYMONTHDAY=13;BYDAY=FR | 2024-09-13 2024-12-13 2025-06-13
        19970902T090000 | YEARLY;BYMONTHDAY=13 | 1997-09-13 1997-10-13
    """,
    "times-in-a-year": """
        20240615T090000 | YEARLY;BYHOUR=1,2;BYMINUTE=3,4 | 2025-06-15T01:03 2025-06-15T01:04 2025-06-15T02:03
    """,
    "invalid-dates": """
        20240229T090000 | YEARLY | 2024-02-29 2028-02-29
        20240131T090000 | YEARLY;BYMONTH=4,5 | 2024-05-31 2025-05-31
        19970902T090000 | YEARLY;BYMONTH=2;BYMONTHDAY=29 | 2000-02-29 2004-02-29
    """,
    "parts-together": """
        20240101T090000 | YEARLY;BYYEARDAY=60,61;BYMONTH=3 | 2024-03-01 2025-03-01 2025-03-02
        20240101T090000 | YEARLY;BYYEARDAY=60;BYMONTHDAY=29 | 2024-02-29 2028-02-29
        20240101T090000 | YEARLY;BYWEEKNO=10;BYMONTHDAY=8,9 | 2024-03-08 2024-03-09 2025-03-08
        19970902T090000 | YEARLY;BYYEARDAY=60;BYMONTH=2 | 2000-02-29 2004-02-29
    """,
    # 31 + 28 + 31 + 10, and a day more in a leap year.
    "days-of-the-year": """
        20240101T090000 | HOURLY;BYYEARDAY=100;BYHOUR=1,2 | 2024-04-09T01 2024-04-09T02 2025-04-10T01
    """,
    "week-without-weekday": """
        20240101T090000 | YEARLY;BYWEEKNO=20,21 | 2024-05-13 2024-05-20 2025-05-12 2025-05-19
        20240103T090000 | YEARLY;BYWEEKNO=1,53 | 2024-01-03 2025-01-01 2025-12-31
        19970902T090000 | YEARLY;BYWEEKNO=20 | 1998-05-12 1999-05-18
    """,
    "week-numbers": """
        20240101T090000 | YEARLY;BYWEEKNO=-1;BYDAY=SU | 2024-12-29 2025-12-28 2027-01-03
        20240101T090000 | YEARLY;BYWEEKNO=1;BYDAY=SU,MO;WKST=SU | 2024-01-01 2024-12-29 2024-12-30
        19970902T090000 | YEARLY;BYWEEKNO=1;BYDAY=MO | 1997-12-29 1999-01-04
        19970902T090000 | YEARLY;BYWEEKNO=53;BYDAY=SU | 1999-01-03 2005-01-02 2010-01-03 2016-01-03
    """,
    # The calendar years 2024, 2026, 2028.
    "weeks-and-interval": """
        20240101T090000 | YEARLY;INTERVAL=2;BYWEEKNO=1;BYDAY=MO | 2024-01-01 2024-12-30 2028-01-03
        20240101T090000 | YEARLY;INTERVAL=2;BYWEEKNO=53;BYDAY=SA | 2038-01-02 2044-01-02 2066-01-02
    """,
    # 09:30:06 is 258 times seven seconds after nine; 09:30:00 is not a multiple.
    "interval-from-the-start": """
        20240101T090000 | SECONDLY;INTERVAL=7;BYMINUTE=30 | 2024-01-01T09:30:06 2024-01-01T09:30:13
        20240101T090000 | MONTHLY;INTERVAL=2;BYMONTH=1,2,3 | 2024-01-01 2024-03-01 2025-01-01
    """,
    "no-occurrence-twice": """
        20240101T090000 | HOURLY;BYDAY=MO;BYHOUR=8,9 | 2024-01-01T09:00:00 2024-01-08T08:00:00 2024-01-08T09:00:00
    """,
    "until-a-date": """
        20240101T090000 | WEEKLY;UNTIL=20240122;BYDAY=MO | 2024-01-01 2024-01-08 2024-01-15 2024-01-22 end
    """,
    "what-is-ours-alone": """
        20240101T090000 | DAILY;BYSECOND=60 | 2024-01-01T09:00:59 2024-01-02T09:00:59
        20240101T090000 | DAILY;BYSECOND=59,60 | 2024-01-01T09:00:59 2024-01-02T09:00:59
    """,
}


class Difference(NamedTuple):
    section: str
    case: str
    party: str


def differences_of_the_page() -> Iterator[Difference]:
    for section, text in sections():
        for rule, starts, parties in re.findall(r"^\| `(FREQ=.+)` \| (.+) \| (.+) \|$", text, re.MULTILINE):
            for start in starts.split(", "):
                case = Case(datetime.fromisoformat(start), rule)
                yield from (Difference(section, case.key, party) for party in parties.split(", "))


def sections() -> list[tuple[str, str]]:
    """The sections of the page that have a name, and their text."""
    return re.findall(r"^## [^\n]*\{#([^\n]+)\}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)


DIFFERENCES = list(differences_of_the_page())


def ours(case: Case, *, count: int = LIMIT, zone: str = "UTC") -> list[datetime]:
    """The first local times of a rule."""
    rule = Rule(kind="rrule", expression=case.rule, starts_at=case.start, timezone=zone)
    found = compile_rule(rule).occurrences(datetime(1990, 1, 1, tzinfo=UTC), count)
    return [at.astimezone(ZoneInfo(zone)).replace(tzinfo=None) for at in found]


def of_dateutil(case: Case) -> list[datetime]:
    until = case.rule.partition("UNTIL=")[2].partition(";")[0]
    start = case.start.replace(tzinfo=UTC) if until.endswith("Z") else case.start
    return [at.replace(tzinfo=None) for at in islice(rrulestr(case.rule, dtstart=start), LIMIT)]


def as_recorded(party: str, case: Case) -> list[datetime] | str:
    """The times, or why there are none."""
    answer = RECORDED[party][case.key]
    return answer if isinstance(answer, str) else before_end([datetime.fromisoformat(at) for at in answer])


def before_end(times: list[datetime]) -> list[datetime]:
    return [at for at in times if at < END]


@pytest.mark.parametrize(("case", "listed", "is_all"), [pytest.param(*row, id=row[0].key) for row in rfc_examples()])
def test_the_rfcs_own_examples(case: Case, listed: list[datetime], is_all: bool) -> None:
    found = ours(case, count=len(listed) + 1, zone=NEW_YORK)

    assert found[: len(listed)] == listed
    assert len(found) == len(listed) + (not is_all)


@pytest.mark.parametrize("case", [pytest.param(case, id=case.key) for case in cases()])
def test_each_rule_is_what_the_others_say_or_is_on_the_page(case: Case) -> None:
    found = before_end(ours(case))
    others = {
        "libical": as_recorded("libical", case),
        "ical.js": as_recorded("ical.js", case),
        "dateutil": before_end(of_dateutil(case)),
    }

    differing = {party for party, answer in others.items() if answer != found}

    assert differing == {told.party for told in DIFFERENCES if told.case == case.key}, found


def test_the_page_tells_of_these_cases_only_and_of_each_difference_once() -> None:
    told = [(difference.case, difference.party) for difference in DIFFERENCES]

    assert {case for case, _ in told} <= {case.key for case in cases()}
    assert {party for _, party in told} == {"libical", "ical.js", "dateutil"}
    assert len(told) == len(set(told))
    assert f"over {len(cases())} cases" in PAGE.replace("\n", " ")


def test_the_page_has_no_row_that_the_suite_overlooks() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| `")]

    assert sum(row.split(" | ")[1].count(",") + 1 for row in rows) == len({told[:2] for told in DIFFERENCES})


@pytest.mark.parametrize("party", RECORDED)
def test_every_case_has_a_recorded_answer(party: str) -> None:
    assert set(RECORDED[party]) == {case.key for case in cases()}


def test_each_section_has_its_sentence_its_rules_and_its_times_by_hand() -> None:
    named = dict(sections())

    assert set(named) == {told.section for told in DIFFERENCES} | {"what-is-ours-alone"} == set(BY_HAND)
    assert [name for name, text in named.items() if not re.search(r'".+".*\(3\.\d', text, re.DOTALL)] == []


@pytest.mark.parametrize(
    ("start", "rule", "expected"),
    [
        pytest.param(*row, id=f"{name} {row[0]} {row[1]}")
        for name, rows in BY_HAND.items()
        for row in read(dedent(rows))
    ],
)
def test_the_sentence_decides(start: str, rule: str, expected: str) -> None:
    is_all = expected.endswith(" end")
    first = expected.removesuffix(" end").split()

    found = ours(Case(start_of(start), f"FREQ={rule}"), count=len(first) + is_all)

    assert [at.isoformat()[: len(shown)] for at, shown in zip(found, first, strict=True)] == first


def test_the_weeks_that_the_page_names_are_iso_8601s() -> None:
    assert datetime(2024, 12, 29).isocalendar() == (2024, 52, 7)
    assert datetime(2011, 1, 2).isocalendar() == (2010, 52, 7)
    assert datetime(2050, 1, 1).isocalendar() == (2049, 52, 6)


def test_the_printed_until_of_the_hourly_example_ends_at_one_o_clock() -> None:
    printed = Case(datetime(1997, 9, 2, 9), "FREQ=HOURLY;INTERVAL=3;UNTIL=19970902T170000Z")

    assert [at.hour for at in ours(printed, zone=NEW_YORK)] == [9, 12]
