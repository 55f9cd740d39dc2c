"""The acceptance cases 18 to 20: cron, once and zones."""

from datetime import UTC, datetime
from typing import Any

import pytest

from scheduling.core.recurrence import Rule, ScheduleError, compile_rule
from tests.unit.core.schedules import BERLIN, CHISINAU, days, local_times


def cron(expression: str, count: int, *, timezone: str = "UTC", **more: object) -> list[str]:
    return local_times(count, kind="cron", expression=expression, timezone=timezone, **more)


@pytest.mark.parametrize("expression", ["0 9 * * *", "*/5 * * * *", "0 0 1 * *", "0 9 * * MON-FRI", "* * * * *"])
def test_case_18_sound_expressions_are_accepted(expression):
    assert len(cron(expression, 3)) == 3


@pytest.mark.parametrize(
    "expression",
    [
        "invalid cron",
        "60 9 * * *",
        "0 25 * * *",
        "0 9 32 * *",
        "0 9 * 13 *",
        "30 8 *",
        "",
        "0 0 8 * * 1-5",
        "@reboot",
        "0 9 ? * *",
        "0 9 * * 8",
        "0 9 * * FRI-MON",
        "*/0 * * * *",
        "0 9 0 * *",
        "0 9 32W * *",
        "0 9 * * 1#6",
        "0 9 * * 1,,2",
        "-1 9 * * *",
        "0 ٩ * * *",
    ],
)
def test_case_18_malformed_expressions_are_refused(expression):
    with pytest.raises(ScheduleError) as refused:
        compile_rule(Rule(kind="cron", expression=expression))

    assert (refused.value.code, refused.value.field) == ("invalid_cron", "expression")


def test_six_fields_are_refused_with_a_hint():
    with pytest.raises(ScheduleError) as refused:
        compile_rule(Rule(kind="cron", expression="0 0 8 * * 1-5"))

    assert "seconds" in (refused.value.hint or "")


@pytest.mark.parametrize(
    ("expression", "timezone", "after", "expected"),
    [
        ("0 8 * * 1-5", BERLIN, "2025-06-01T00:00:00",
         "2025-06-02 2025-06-03 2025-06-04 2025-06-05 2025-06-06 2025-06-09"),
        ("30 8 * * 1-5", CHISINAU, "2025-06-06T09:00:00", "2025-06-09"),
        ("0 0 * * 0", CHISINAU, "2025-06-03T00:00:00", "2025-06-08"),
        ("0 0 * * 7", CHISINAU, "2025-06-03T00:00:00", "2025-06-08"),
        ("0 0 13 * 5", CHISINAU, "2025-06-03T00:00:00", "2025-06-06 2025-06-13 2025-06-20"),
        ("0 0 29 2 *", "UTC", "2025-03-01T00:00:00", "2028-02-29"),
        ("0 0 L * *", "UTC", "2024-02-01T00:00:00", "2024-02-29 2024-03-31 2024-04-30"),
        ("0 0 * * 5L", "UTC", "2025-01-01T00:00:00", "2025-01-31 2025-02-28 2025-03-28"),
        ("0 0 * * MON#2", "UTC", "2025-01-01T00:00:00", "2025-01-13 2025-02-10 2025-03-10"),
        ("0 0 LW * *", "UTC", "2025-05-01T00:00:00", "2025-05-30 2025-06-30 2025-07-31 2025-08-29"),
        ("0 0 15W * *", "UTC", "2025-02-01T00:00:00", "2025-02-14 2025-03-14 2025-04-15 2025-05-15 2025-06-16"),
        ("0 0 1W * *", "UTC", "2025-02-04T00:00:00", "2025-03-03 2025-04-01 2025-05-01 2025-06-02"),
        ("0 0 31W * *", "UTC", "2025-05-01T00:00:00", "2025-05-30 2025-07-31 2025-08-29"),
        ("0 0 1,15W * *", "UTC", "2025-06-01T00:00:00", "2025-06-16 2025-07-01 2025-07-15"),
        ("0 0 */2 * 1", "UTC", "2025-06-01T00:00:00", "2025-06-09 2025-06-23"),
        ("@weekly", "UTC", "2025-06-03T00:00:00", "2025-06-08 2025-06-15"),
        ("@yearly", "UTC", "2025-06-03T00:00:00", "2026-01-01 2027-01-01"),
        ("@Monthly", "UTC", "2025-06-03T00:00:00", "2025-07-01 2025-08-01"),
    ],
)  # fmt: skip
def test_case_19_days_of_cron(expression, timezone, after, expected):
    dates = expected.split()

    assert days(cron(expression, len(dates), timezone=timezone, after=after)) == dates


def test_case_19_weekdays_at_eight():
    found = cron("0 8 * * 1-5", 6, timezone=BERLIN, after="2025-06-01T00:00:00")

    assert found == [f"2025-06-0{day}T08:00:00+02:00" for day in (2, 3, 4, 5, 6, 9)]


def test_case_19_local_time_of_cron():
    assert cron("30 8 * * 1-5", 1, timezone=CHISINAU, after="2025-06-06T09:00:00") == ["2025-06-09T08:30:00+03:00"]


@pytest.mark.parametrize("macro", ["@hourly", "@daily", "@midnight", "@annually"])
def test_macros_are_understood(macro):
    assert len(cron(macro, 2)) == 2


@pytest.mark.parametrize("expression", ["0 0 30 2 *", "0 0 31 4,6,9,11 *", "0 0 31W 2 *"])
def test_days_that_no_month_has_are_refused_as_never(expression):
    with pytest.raises(ScheduleError) as refused:
        compile_rule(Rule(kind="cron", expression=expression))

    assert refused.value.code == "never_occurs"


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("2025-12-25T10:00:00Z", "2025-12-25T10:00:00+00:00"),
        ("2025-12-25T10:00:00+02:00", "2025-12-25T08:00:00+00:00"),
        ("2025-12-25T10:00:00.123Z", "2025-12-25T10:00:00.123000+00:00"),
        ("2025-12-25T10:00", "2025-12-25T10:00:00+00:00"),
    ],
)
def test_case_20_once(expression, expected):
    recurrence = compile_rule(Rule(kind="once", expression=expression))

    assert [at.isoformat() for at in recurrence.occurrences(datetime(2025, 1, 1, tzinfo=UTC), 5)] == [expected]


@pytest.mark.parametrize(
    "expression",
    [
        "2025-13-25T10:00:00Z",
        "2025-12-32T10:00:00Z",
        "2025-12-25T25:00:00Z",
        "2025-12-25T10:61:00Z",
        "2025-12-25T10:00:60Z",
        "10",
        "May",
        "",
        "2025-12-25",
        "2025-W52-4T10:00:00Z",
        "2025-12-25 10:00:00Z",
        "2025-12-25T10:00:00+25:00",
        "0000-12-25T10:00:00Z",
        "9899-12-31T23:59:59-12:00",  # a local time of the last supported year, an instant of the next
    ],
)
def test_case_20_malformed_times_are_refused(expression):
    with pytest.raises(ScheduleError) as refused:
        compile_rule(Rule(kind="once", expression=expression))

    assert refused.value.code in ("invalid_once", "invalid_datetime")
    assert refused.value.field == "expression"


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Tokyo", "America/Argentina/Buenos_Aires"])
def test_case_20_iana_zones_are_accepted(zone):
    assert compile_rule(Rule(kind="cron", expression="@daily", timezone=zone)).sentence.endswith(f"({zone})")


@pytest.mark.parametrize(
    "zone", ["Foo/Bar", "GMT+5", "", "europe/berlin", "../../etc/passwd", "Europe", "Factory", "\0"]
)
def test_case_20_other_zones_are_refused(zone):
    with pytest.raises(ScheduleError) as refused:
        compile_rule(Rule(kind="cron", expression="@daily", timezone=zone))

    assert (refused.value.code, refused.value.field) == ("unknown_timezone", "timezone")


@pytest.mark.parametrize(
    ("given", "meant"),
    [("Europe/Chisnau", "Europe/Chisinau"), ("europe/berlin", "Europe/Berlin"), ("Tokyo", "Asia/Tokyo")],
)
def test_a_misspelt_zone_is_answered_with_the_right_one(given, meant):
    with pytest.raises(ScheduleError) as refused:
        compile_rule(Rule(kind="cron", expression="@daily", timezone=given))

    assert meant in (refused.value.hint or "")


def test_a_step_after_one_number_goes_on_to_the_end_of_the_field():
    times = local_times(5, kind="cron", expression="5/15 8 * * *")

    assert [time[11:16] for time in times] == ["08:05", "08:20", "08:35", "08:50", "08:05"]


@pytest.mark.parametrize("offset", ["+02:60", "+02:99", "-00:75"])
def test_an_offset_has_no_more_than_59_minutes(offset):
    with pytest.raises(ScheduleError):
        compile_rule(Rule(kind="once", expression=f"2030-01-01T10:00:00{offset}"))


def test_a_letter_that_becomes_an_ascii_one_is_no_month():
    with pytest.raises(ScheduleError):
        compile_rule(Rule(kind="cron", expression="0 8 * \u017fep *"))


ONCE_IN_BERLIN: dict[str, Any] = {"kind": "once", "timezone": "Europe/Berlin", "gap": "skip"}


@pytest.mark.parametrize(
    ("expression", "exdates"),
    [
        ("2027-03-28T02:30:00", ()),
        ("2027-05-01T10:00:00", (datetime(2027, 5, 1, 10),)),
        ("2027-05-01T08:00:00Z", (datetime(2027, 5, 1, 10),)),
    ],
)
def test_a_time_that_is_left_out_leaves_the_additions(expression, exdates):
    with pytest.raises(ScheduleError) as refused:
        compile_rule(Rule(**ONCE_IN_BERLIN, expression=expression, exdates=exdates))
    assert refused.value.code == "never_occurs"

    recurrence = compile_rule(
        Rule(**ONCE_IN_BERLIN, expression=expression, exdates=exdates, rdates=(datetime(2028, 1, 1, 10), *exdates))
    )

    found = recurrence.occurrences(datetime(2026, 1, 1, tzinfo=UTC), 5)
    assert [at.isoformat() for at in found] == ["2028-01-01T09:00:00+00:00"]
    assert "2027" in recurrence.sentence


@pytest.mark.parametrize("expression", ["P1Y", "P2M", "P1M3D"])
def test_an_interval_of_months_is_refused_for_its_months(expression):
    with pytest.raises(ScheduleError, match="no years or months"):
        compile_rule(Rule(kind="interval", expression=expression, starts_at=datetime(2026, 1, 1)))


@pytest.mark.parametrize("expression", ["P1W2D", "P1DT", "PT1M1H"])
def test_an_interval_without_months_is_refused_for_what_it_is(expression):
    with pytest.raises(ScheduleError, match="is not an ISO 8601 duration"):
        compile_rule(Rule(kind="interval", expression=expression, starts_at=datetime(2026, 1, 1)))


@pytest.mark.parametrize(
    ("written", "plain"),
    [("01", "1"), ("00", "0"), ("07", "7"), ("1-05", "1-5"), ("05L", "5L"), ("1#02", "1#2"), ("01-05/02", "1-5/2")],
)
def test_leading_zeros_are_read_in_every_field(written: str, plain: str) -> None:
    assert cron(f"00 08 * 01 {written}", 20) == cron(f"0 8 * 1 {plain}", 20)


@pytest.mark.parametrize("written", ["001", "08", "1#06", "08L"])
def test_no_more_than_one_zero_leads_a_weekday(written: str) -> None:
    with pytest.raises(ScheduleError, match="day-of-week"):
        cron(f"0 8 * * {written}", 1)
