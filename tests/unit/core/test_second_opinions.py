"""Rules of RFC 5545 as two others read them: python-dateutil, asked here, and ical.js, whose answers are recorded.

The two do not descend from each other. Neither's word is taken: where one differs from us, the difference stands here
under the sentence of the RFC that decides it, and in docs/explanation/rrule-differences.md; a new one fails.
`second_opinion/record.mjs` renews the record.
"""

import json
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from dateutil.rrule import rrulestr

from scheduling.core.recurrence import Rule, compile_rule

FOLDER = Path(__file__).parent / "second_opinion"
RECORDED: dict[str, Any] = json.loads((FOLDER / "ical_js.json").read_text())
GIVEN: dict[str, list[str]] = json.loads((FOLDER / "rules.json").read_text())
SHOWN = 8

BYSETPOS = "3.3.10: BYSETPOS 'operates on a set of recurrence instances in one interval of the recurrence rule'"
FILTERS = "3.3.10: BYxxx parts for the period or greater 'reduce or limit the number of occurrences'; the start as well"
BYWEEKNO = "3.3.10: BYWEEKNO is 'a COMMA-separated list of ordinals specifying weeks of the year'"
WEEK_OF_DTSTART = (
    "3.3.10: what the rule leaves out is 'derived from the Start Time' (DTSTART): the weekday of a BYWEEKNO"
)
WEEK_ONE = "3.3.10: week one 'contains at least four (4) days in that calendar year', so a year of 52 weeks has no 53rd"
NTH_OF_YEAR = "3.3.10: a number is 'the nth occurrence of a specific day within the MONTHLY or YEARLY' rule"
FROM_THE_END = "3.3.10: BYMONTHDAY 'Valid values are 1 to 31 or -31 to -1'"
INVALID_DATES = "3.3.10: an 'invalid date (e.g., February 30)' 'MUST be ignored and MUST NOT be counted'"
EXPANDS = "3.3.10, table of expansions: in a YEARLY rule BYMONTHDAY, BYHOUR and BYMINUTE expand"
LIMITS_YEAR_DAYS = "3.3.10: BYMONTH then BYYEARDAY are applied one after the other; nothing forbids them together"
NTH_WITH_PLAIN = "3.3.10: each BYDAY value 'can also be preceded by' a number; the values are a list, joined"

ICAL_JS = {
    BYSETPOS: """
        FREQ=DAILY;BYHOUR=8,9;BYMINUTE=15,45;BYSECOND=10,50;BYSETPOS=1,-1
        FREQ=HOURLY;BYMINUTE=5,35;BYSECOND=1,2;BYSETPOS=1,-1
        FREQ=MONTHLY;BYDAY=TU,WE,TH;BYSETPOS=3
        FREQ=MONTHLY;BYMONTHDAY=15;BYHOUR=9,17;BYSETPOS=-1
        FREQ=MONTHLY;INTERVAL=3;BYMONTHDAY=1,2,3;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=1
        FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1
        FREQ=WEEKLY;BYDAY=MO,WE,FR;BYSETPOS=2
        FREQ=YEARLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=1,-1
        FREQ=YEARLY;BYMONTH=1,6;BYMONTHDAY=1,2,3;BYSETPOS=2,-2
    """,
    FILTERS: """
        FREQ=DAILY;BYDAY=MO,WE
        FREQ=DAILY;BYMONTH=1
        FREQ=DAILY;INTERVAL=3;BYDAY=TU,TH
        FREQ=HOURLY;BYDAY=SA
        FREQ=HOURLY;BYHOUR=9,10,11
        FREQ=HOURLY;BYMONTHDAY=1
        FREQ=HOURLY;INTERVAL=7;BYMONTH=2
        FREQ=MINUTELY;BYDAY=SU;BYHOUR=3
        FREQ=MINUTELY;BYMINUTE=10,11
        FREQ=MINUTELY;INTERVAL=20;BYHOUR=9,10,11,12,13,14,15,16
        FREQ=MONTHLY;BYMONTH=6,12;BYDAY=-1FR
        FREQ=MONTHLY;BYMONTHDAY=30,31;BYMONTH=2,4
        FREQ=SECONDLY;BYMINUTE=59;BYSECOND=59
        FREQ=SECONDLY;BYSECOND=0,30
    """,
    BYWEEKNO: """
        FREQ=YEARLY;BYWEEKNO=-1;BYDAY=FR
        FREQ=YEARLY;BYWEEKNO=1;BYDAY=MO
        FREQ=YEARLY;BYWEEKNO=10;BYDAY=MO,SU;WKST=SU
        FREQ=YEARLY;BYWEEKNO=20
        FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO
        FREQ=YEARLY;BYWEEKNO=5,30;BYDAY=TU;BYHOUR=7
        FREQ=YEARLY;BYWEEKNO=53;BYDAY=SU
    """,
    NTH_OF_YEAR: """
        FREQ=YEARLY;BYDAY=20MO
        FREQ=YEARLY;BYDAY=53MO
    """,
    FROM_THE_END: "FREQ=DAILY;BYMONTHDAY=1,15,-1",
    INVALID_DATES: """
        FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29
        FREQ=YEARLY;BYMONTH=6,7
        FREQ=YEARLY;INTERVAL=2;BYMONTH=1,2,3
    """,
    EXPANDS: """
        FREQ=YEARLY;BYMONTH=5;BYHOUR=6,7;BYMINUTE=30
        FREQ=YEARLY;BYMONTHDAY=-1
        FREQ=YEARLY;BYMONTHDAY=13
    """,
    LIMITS_YEAR_DAYS: "FREQ=YEARLY;BYYEARDAY=60;BYMONTH=2",
}
DATEUTIL = {
    BYSETPOS: "FREQ=WEEKLY;BYDAY=MO,WE,FR;BYSETPOS=2",
    NTH_WITH_PLAIN: "FREQ=MONTHLY;BYDAY=1MO,-1MO,WE",
    WEEK_OF_DTSTART: "FREQ=YEARLY;BYWEEKNO=20",
    WEEK_ONE: "FREQ=YEARLY;BYWEEKNO=53;BYDAY=SU",
}


def rules_of(differences: dict[str, str]) -> set[str]:
    return {rule for rules in differences.values() for rule in rules.split()}


def ours(rule: str, anchor: str) -> list[str]:
    recurrence = compile_rule(Rule(kind="rrule", expression=rule, starts_at=datetime.fromisoformat(anchor)))
    found = recurrence.occurrences(datetime(1990, 1, 1, tzinfo=UTC), SHOWN)
    return [instant.replace(tzinfo=None).isoformat() for instant in found]


def of_dateutil(rule: str, anchor: str) -> list[str]:
    walls = rrulestr(rule, dtstart=datetime.fromisoformat(anchor))
    return [wall.isoformat() for wall in islice(walls, SHOWN)]


def test_the_record_has_every_rule():
    assert set(RECORDED) == {f"{rule} from {anchor}" for rule in GIVEN["rules"] for anchor in GIVEN["anchors"]}


def test_ical_js_differs_in_what_is_known_only():
    differing = {
        rule
        for rule in GIVEN["rules"]
        for anchor in GIVEN["anchors"]
        if ours(rule, anchor) != RECORDED[f"{rule} from {anchor}"]
    }

    assert differing == rules_of(ICAL_JS)


def test_dateutil_differs_in_what_is_known_only():
    differing = {
        rule
        for rule in GIVEN["rules"]
        for anchor in GIVEN["anchors"]
        if ours(rule, anchor) != of_dateutil(rule, anchor)
    }

    assert differing == rules_of(DATEUTIL)


@pytest.mark.parametrize(
    ("rule", "first"),
    [
        # Each worked out by hand from the sentence, from Tuesday 2 September 1997, 09:00.
        ("FREQ=WEEKLY;BYDAY=MO,WE,FR;BYSETPOS=2", ["1997-09-03", "1997-09-10"]),
        ("FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1", ["1997-09-05", "1997-09-12"]),
        ("FREQ=YEARLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=1,-1", ["1997-12-31", "1998-01-01", "1998-12-31", "1999-01-01"]),
        ("FREQ=YEARLY;BYMONTH=1,6;BYMONTHDAY=1,2,3;BYSETPOS=2,-2", ["1998-01-02", "1998-06-02"]),
        ("FREQ=DAILY;BYMONTH=1", ["1998-01-01", "1998-01-02"]),
        ("FREQ=DAILY;BYDAY=MO,WE", ["1997-09-03", "1997-09-08"]),
        ("FREQ=MONTHLY;BYMONTH=6,12;BYDAY=-1FR", ["1997-12-26", "1998-06-26"]),
        ("FREQ=YEARLY;BYWEEKNO=20", ["1998-05-12", "1999-05-18"]),
        ("FREQ=YEARLY;BYWEEKNO=1;BYDAY=MO", ["1997-12-29", "1999-01-04"]),
        ("FREQ=YEARLY;BYWEEKNO=53;BYDAY=SU", ["1999-01-03", "2005-01-02", "2010-01-03", "2016-01-03"]),
        ("FREQ=YEARLY;BYDAY=20MO", ["1998-05-18", "1999-05-17"]),
        ("FREQ=DAILY;BYMONTHDAY=1,15,-1", ["1997-09-15", "1997-09-30", "1997-10-01"]),
        ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29", ["2000-02-29", "2004-02-29"]),
        ("FREQ=YEARLY;BYMONTHDAY=13", ["1997-09-13", "1997-10-13"]),
        ("FREQ=YEARLY;BYYEARDAY=60;BYMONTH=2", ["2000-02-29", "2004-02-29"]),
        ("FREQ=MONTHLY;BYDAY=1MO,-1MO,WE", ["1997-09-03", "1997-09-10", "1997-09-17", "1997-09-24", "1997-09-29"]),
    ],
)
def test_the_sentence_decides(rule, first):
    assert [time[:10] for time in ours(rule, GIVEN["anchors"][0])[: len(first)]] == first


def test_every_difference_is_in_the_docs():
    page = (Path(__file__).parents[3] / "docs" / "explanation" / "rrule-differences.md").read_text()

    for rule in rules_of(ICAL_JS) | rules_of(DATEUTIL):
        assert f"`{rule}`" in page
