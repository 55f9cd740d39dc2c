"""The acceptance cases 11, 17, 18 and 20 at the API: 422 at the field, with a hint where one helps, and nothing stored.

What sound rules mean is tested in tests/unit/core; here, that each of them is stored.
"""

import time

import pytest

from scheduling.models import Schedule
from tests.db.api.gateway import NOTE, assert_problem, pointers

pytestmark = pytest.mark.django_db

NEVER = ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "FREQ=MONTHLY;BYMONTH=2;BYMONTHDAY=31")
BAD_RRULES = (
    "FREQ=INVALID",
    "BYDAY=MO",
    "",
    "NOT_AN_RRULE",
    "FREQ=DAILY;INTERVAL=0",
    "FREQ=DAILY;COUNT=3;UNTIL=20301231T235959Z",
    "FREQ=WEEKLY;BYDAY=XX",
    "FREQ=YEARLY;BYMONTH=13",
    "FREQ=MONTHLY;BYDAY=6MO",
    "FREQ=YEARLY;BYDAY=54SU",
    "FREQ=WEEKLY;BYDAY=1MO",
    "FREQ=DAILY;BADPROP=1",
    "FREQ=MONTHLY;BYMONTHDAY=32",
    "FREQ=;BYHOUR=9",
    "FREQ=DAILY;;BYHOUR=9",
    "FREQ=DAILY;BYHOUR=25",
)
GOOD_RRULES = (
    "FREQ=YEARLY;BYDAY=1SU;BYMONTH=4",
    "FREQ=HOURLY;INTERVAL=2",
    "FREQ=WEEKLY;UNTIL=20301231T235959Z",
    "RRULE:FREQ=DAILY",
)
BAD_CRON = ("invalid cron", "60 9 * * *", "0 25 * * *", "0 9 32 * *", "0 9 * 13 *", "30 8 *")
GOOD_CRON = ("0 9 * * *", "*/5 * * * *", "0 0 1 * *", "0 9 * * MON-FRI", "* * * * *")
BAD_ONCE = (
    "2025-13-25T10:00:00Z",
    "2025-12-32T10:00:00Z",
    "2025-12-25T25:00:00Z",
    "2025-12-25T10:61:00Z",
    "10",
    "May",
)
# A year to come: an instant that passed is refused when it is stored.
GOOD_ONCE = ("2095-12-25T10:00:00Z", "2095-12-25T10:00:00+02:00", "2095-12-25T10:00:00.123Z")
BAD_ZONES = ("Foo/Bar", "GMT+5", "")
GOOD_ZONES = ("UTC", "America/New_York", "Asia/Tokyo", "America/Argentina/Buenos_Aires")


@pytest.fixture
def task(api):
    return api.post("tasks", {"key": "note", "pipeline": NOTE}).json()


def every(kind, expressions):
    return [pytest.param(kind, expression, id=f"{kind} {expression}") for expression in expressions]


@pytest.mark.parametrize(
    ("kind", "expression"),
    [*every("rrule", NEVER), *every("rrule", BAD_RRULES), *every("cron", BAD_CRON), *every("once", BAD_ONCE)],
)
def test_cases_11_17_18_and_20_are_refused_at_the_expression(api, task, kind, expression):
    answer = api.post(f"tasks/{task['id']}/schedules", {"kind": kind, "expression": expression})

    assert pointers(assert_problem(answer, 422, "not_valid")) == {"/expression"}
    assert not Schedule.objects.exists()


@pytest.mark.parametrize("expression", NEVER)
def test_case_11_is_answered_within_a_tenth_of_a_second(api, expression):
    spent = []
    for _ in range(3):
        began = time.thread_time()
        answer = api.post("schedules/preview", {"kind": "rrule", "expression": expression})
        spent.append(time.thread_time() - began)
        assert_problem(answer, 422, "not_valid")

    assert min(spent) < 0.1


@pytest.mark.parametrize(
    ("kind", "expression"),
    [*every("rrule", GOOD_RRULES), *every("cron", GOOD_CRON), *every("once", GOOD_ONCE)],
)
def test_cases_17_18_and_20_sound_rules_are_stored(api, task, kind, expression):
    answer = api.post(f"tasks/{task['id']}/schedules", {"kind": kind, "expression": expression})

    assert answer.status_code == 201, answer.content
    assert Schedule.objects.get().expression == expression


@pytest.mark.parametrize("zone", BAD_ZONES)
def test_case_20_unknown_zones_are_refused(api, task, zone):
    answer = api.post(f"tasks/{task['id']}/schedules", {"kind": "cron", "expression": "0 9 * * *", "timezone": zone})

    assert pointers(assert_problem(answer, 422, "not_valid")) == {"/timezone"}
    assert not Schedule.objects.exists()


@pytest.mark.parametrize("zone", GOOD_ZONES)
def test_case_20_iana_zones_are_stored(api, task, zone):
    answer = api.post(f"tasks/{task['id']}/schedules", {"kind": "cron", "expression": "0 9 * * *", "timezone": zone})

    assert answer.status_code == 201, answer.content
    assert Schedule.objects.get().timezone == zone
