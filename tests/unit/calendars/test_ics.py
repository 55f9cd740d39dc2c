"""iCalendar text into days and spans: what is read, what is refused, and how soon."""

import time
from datetime import UTC, date, datetime, timedelta

import pytest

from scheduling.calendars.ics import CalendarTextError, expand

NOW = datetime(2026, 11, 25, tzinfo=UTC)


def calendar(*events: str, head: str = "") -> str:
    body = "".join(f"BEGIN:VEVENT\nUID:{at}\n{event.strip()}\nEND:VEVENT\n" for at, event in enumerate(events))
    return f"BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:-//test//EN\n{head}{body}END:VCALENDAR\n"


def many(prop: str, count: int) -> str:
    """`count` instants of a property, an hour apart."""
    first = datetime(2026, 1, 1, tzinfo=UTC)
    return f"{prop}:" + ",".join(f"{first + timedelta(hours=at):%Y%m%dT%H%M%SZ}" for at in range(count))


def test_an_all_day_event_is_its_days_and_its_end_is_not_one() -> None:
    found = expand(calendar("DTSTART;VALUE=DATE:20261224\nDTEND;VALUE=DATE:20261227"), now=NOW)

    assert sorted(found.days) == [date(2026, 12, 24), date(2026, 12, 25), date(2026, 12, 26)]
    assert (found.spans, found.until) == ((), None)


def test_an_all_day_event_without_an_end_is_one_day() -> None:
    assert expand(calendar("DTSTART;VALUE=DATE:20261224"), now=NOW).days == {date(2026, 12, 24)}


def test_a_timed_event_is_a_span_of_instants_in_its_own_zone() -> None:
    found = expand(calendar("DTSTART;TZID=Europe/Berlin:20260701T080000\nDURATION:PT2H"), now=NOW)

    assert found.spans == ((datetime(2026, 7, 1, 6, tzinfo=UTC), datetime(2026, 7, 1, 8, tzinfo=UTC)),)


def test_recurring_events_are_expanded_a_year_back_and_two_ahead() -> None:
    found = expand(calendar("DTSTART;VALUE=DATE:20001225\nRRULE:FREQ=YEARLY"), now=NOW)

    assert {day.year for day in found.days} == {2000, 2025, 2026, 2027}
    assert found.until == NOW + timedelta(days=732)


def test_a_recurring_event_that_ends_needs_no_further_expansion() -> None:
    found = expand(calendar("DTSTART;VALUE=DATE:20261201\nRRULE:FREQ=DAILY;COUNT=3"), now=NOW)

    assert (len(found.days), found.until) == (3, None)


def test_exceptions_are_left_out_and_moved_occurrences_are_moved() -> None:
    text = (
        "BEGIN:VCALENDAR\nVERSION:2.0\n"
        "BEGIN:VEVENT\nUID:a\nDTSTART:20261201T080000Z\nDTEND:20261201T090000Z\nRRULE:FREQ=DAILY;COUNT=4\n"
        "EXDATE:20261202T080000Z\nEND:VEVENT\n"
        "BEGIN:VEVENT\nUID:a\nRECURRENCE-ID:20261203T080000Z\nDTSTART:20261203T120000Z\nDTEND:20261203T130000Z\n"
        "END:VEVENT\n"
        "BEGIN:VEVENT\nUID:a\nRECURRENCE-ID:20261204T080000Z\nDTSTART:20261204T080000Z\nSTATUS:CANCELLED\nEND:VEVENT\n"
        "END:VCALENDAR\n"
    )

    starts = [start for start, _ in expand(text, now=NOW).spans]

    assert sorted(starts) == [datetime(2026, 12, 1, 8, tzinfo=UTC), datetime(2026, 12, 3, 12, tzinfo=UTC)]


WEEKLY = (
    "DTSTART;TZID=Europe/Berlin:20270104T080000\nDTEND;TZID=Europe/Berlin:20270104T090000\nRRULE:FREQ=WEEKLY;COUNT=3"
)


@pytest.mark.parametrize(
    "replaced",
    [
        "RECURRENCE-ID:20270111T070000Z",
        "RECURRENCE-ID;TZID=Europe/Berlin:20270111T080000",
        "RECURRENCE-ID;TZID=America/New_York:20270111T020000",
        "RECURRENCE-ID;VALUE=DATE:20270111",
    ],
)
@pytest.mark.parametrize("zone", ["Z", "TZID=Europe/Berlin", "TZID=Asia/Tokyo"])
def test_an_occurrence_is_moved_whatever_zone_it_is_named_in(replaced: str, zone: str) -> None:
    to = {"Z": ":20270112T090000Z", "TZID=Europe/Berlin": ";TZID=Europe/Berlin:20270112T100000"}
    start = to.get(zone, ";TZID=Asia/Tokyo:20270112T180000")
    text = (
        "BEGIN:VCALENDAR\nVERSION:2.0\n"
        f"BEGIN:VEVENT\nUID:a\n{WEEKLY}\nEND:VEVENT\n"
        f"BEGIN:VEVENT\nUID:a\n{replaced}\nDTSTART{start}\nDURATION:PT3H\nEND:VEVENT\n"
        "END:VCALENDAR\n"
    )

    spans = sorted(expand(text, now=NOW).spans)

    assert [(start.day, start.hour, end - start) for start, end in spans] == [
        (4, 7, timedelta(hours=1)),
        (12, 9, timedelta(hours=3)),
        (18, 7, timedelta(hours=1)),
    ]


def test_an_all_day_occurrence_is_moved() -> None:
    text = (
        "BEGIN:VCALENDAR\nVERSION:2.0\n"
        "BEGIN:VEVENT\nUID:a\nDTSTART;VALUE=DATE:20270104\nRRULE:FREQ=WEEKLY;COUNT=2\nEND:VEVENT\n"
        "BEGIN:VEVENT\nUID:a\nRECURRENCE-ID;VALUE=DATE:20270111\nDTSTART;VALUE=DATE:20270113\nEND:VEVENT\n"
        "END:VCALENDAR\n"
    )

    assert sorted(expand(text, now=NOW).days) == [date(2027, 1, 4), date(2027, 1, 13)]


def moved(master: str, *others: str) -> str:
    events = "".join(f"BEGIN:VEVENT\nUID:a\n{lines}\nEND:VEVENT\n" for lines in (master, *others))
    return f"BEGIN:VCALENDAR\nVERSION:2.0\n{events}END:VCALENDAR\n"


def test_an_added_occurrence_is_moved_and_cancelled_too() -> None:
    days = "DTSTART;VALUE=DATE:20261201\nRDATE;VALUE=DATE:20261208,20261215"
    text = moved(
        days,
        "RECURRENCE-ID;VALUE=DATE:20261208\nDTSTART;VALUE=DATE:20261210",
        "RECURRENCE-ID;VALUE=DATE:20261215\nDTSTART;VALUE=DATE:20261215\nSTATUS:CANCELLED",
    )

    assert sorted(expand(text, now=NOW).days) == [date(2026, 12, 1), date(2026, 12, 10)]


@pytest.mark.parametrize("named", ["20260329T013000Z", ";TZID=Europe/Berlin:20260329T023000"])
@pytest.mark.parametrize("how", ["EXDATE", "moved", "cancelled"])
def test_a_start_in_a_gap_is_left_out_however_it_is_named(how: str, named: str) -> None:
    at = named if named.startswith(";") else f":{named}"
    master = "DTSTART;TZID=Europe/Berlin:20260329T023000\nDURATION:PT1H\nRRULE:FREQ=DAILY;COUNT=3"
    match how:
        case "EXDATE":
            text = moved(f"{master}\nEXDATE{at}")
        case "moved":
            text = moved(master, f"RECURRENCE-ID{at}\nDTSTART:20260401T120000Z\nDURATION:PT1H")
        case _:
            text = moved(master, f"RECURRENCE-ID{at}\nDTSTART:20260401T120000Z\nSTATUS:CANCELLED")

    days = [start.day for start, _ in sorted(expand(text, now=datetime(2026, 3, 1, tzinfo=UTC)).spans)]

    assert days == ([30, 31, 1] if how == "moved" else [30, 31])


def test_a_day_that_is_named_with_a_time_is_the_day_where_it_is() -> None:
    text = moved(
        "DTSTART;VALUE=DATE:20260601\nRRULE:FREQ=DAILY;COUNT=3",
        "RECURRENCE-ID;TZID=Asia/Tokyo:20260602T000000\nDTSTART;VALUE=DATE:20260605",
    )

    assert sorted(each.day for each in expand(text, now=NOW).days) == [1, 3, 5]


@pytest.mark.parametrize("end", ["DTEND:20301224T090000Z\n", ""])
def test_an_added_period_is_as_long_as_it_says(end: str) -> None:
    text = calendar(
        f"DTSTART:20301224T080000Z\n{end}"
        "RDATE;VALUE=PERIOD:20301226T080000Z/PT3H,20301227T080000Z/20301227T120000Z\nRDATE:20301228T080000Z"
    )

    spans = {start.day: end - start for start, end in expand(text, now=NOW).spans}

    own = {24: timedelta(hours=1), 28: timedelta(hours=1)} if end else {}
    assert spans == {**own, 26: timedelta(hours=3), 27: timedelta(hours=4)}


def test_a_period_that_ends_before_it_starts_is_refused() -> None:
    with pytest.raises(CalendarTextError) as refused:
        expand(calendar("DTSTART:20301224T080000Z\nRDATE;VALUE=PERIOD:20301226T080000Z/20301226T070000Z"), now=NOW)

    assert refused.value.code in ("invalid_event", "invalid_calendar")


def test_a_cancelled_event_excludes_nothing() -> None:
    assert not expand(calendar("DTSTART;VALUE=DATE:20261224\nSTATUS:CANCELLED"), now=NOW).days


def test_a_time_without_a_zone_is_read_in_the_calendars_own() -> None:
    floating = "DTSTART:20260701T080000\nDTEND:20260701T090000"

    found = expand(calendar(floating, head="X-WR-TIMEZONE:Europe/Chisinau\n"), now=NOW)

    assert found.spans[0][0] == datetime(2026, 7, 1, 5, tzinfo=UTC)
    with pytest.raises(CalendarTextError) as refused:
        expand(calendar(floating), now=NOW)
    assert refused.value.code == "floating_time"
    assert "Event 1" in refused.value.detail


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("hello", "invalid_calendar"),
        ("BEGIN:VCALENDAR\n" * 10_000, "invalid_calendar"),
        ("BEGIN:VEVENT\nDTSTART;VALUE=DATE:20261224\nEND:VEVENT\n", "invalid_calendar"),
        (calendar("DTSTART:garbage"), "invalid_event"),
        (calendar("SUMMARY:no start"), "invalid_event"),
        (calendar("DTSTART;VALUE=DATE:20261224\nDTEND;VALUE=DATE:20261220"), "invalid_event"),
        (calendar("DTSTART;VALUE=DATE:20261224\nRRULE:FREQ=DAILY;COUNT=abc"), "invalid_event"),
        (calendar("DTSTART;TZID=Mars/Olympus:20261224T080000\nDURATION:PT1H"), "unknown_timezone"),
        (calendar("DTSTART:20261224T080000Z\nDURATION:PT1H\nRRULE:FREQ=SECONDLY"), "too_frequent"),
        (calendar("DTSTART:20261224T080000Z\nDURATION:PT1H\nRRULE:FREQ=DAILY;BYHOUR=1,2,3"), "too_frequent"),
        (calendar("DTSTART;VALUE=DATE:20260101\nRRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30"), "never_occurs"),
        (calendar("DTSTART;VALUE=DATE:20260101\nDTEND;VALUE=DATE:20990101"), "too_many_days"),
        (calendar("DTSTART;VALUE=DATE:20200101\nDURATION:P3000D\nRRULE:FREQ=DAILY"), "too_many_days"),
        (calendar(*["DTSTART;VALUE=DATE:20261224"] * 1001), "too_many_events"),
        (calendar(*["DTSTART;VALUE=DATE:20000101\nRRULE:FREQ=DAILY"] * 200), "too_many_occurrences"),
        (calendar(*["DTSTART;VALUE=DATE:20000101\nRRULE:FREQ=YEARLY"] * 201), "too_many_events"),
        (calendar("DTSTART:20260101T080000Z\nDURATION:PT1H\n" + many("RDATE", 12_000)), "too_many_occurrences"),
        (calendar("DTSTART;VALUE=DATE:20260101\nRRULE:FREQ=DAILY;COUNT=x\n" + many("EXDATE", 12_000)), "invalid_event"),
        (calendar("DTSTART;VALUE=DATE:20260101\nRRULE:" + "A=1;" * 50_000), "invalid_rrule"),
        (calendar("DTSTART:99991231T235959Z\nDURATION:P9999D"), "invalid_datetime"),
        (calendar(*["DTSTART;VALUE=DATE:20260101\nDURATION:P3600D"] * 1000), "too_many_days"),
        (calendar("DTSTART:99991231T235959Z\nDURATION:P1D"), "invalid_datetime"),
        (calendar("DTSTART:00010101T000000Z\nDURATION:P1D"), "invalid_datetime"),
        ("x" * 300_000, "too_large"),
        ("\n" * 30_000 + "x", "too_large"),
    ],
)
def test_what_is_hostile_or_wrong_is_refused_soon(text: str, code: str) -> None:
    began = time.thread_time()

    with pytest.raises(CalendarTextError) as refused:
        expand(text, now=NOW)

    assert refused.value.code == code
    assert time.thread_time() - began < 2


def test_a_described_zone_is_not_expanded() -> None:
    zone = (
        "BEGIN:VTIMEZONE\nTZID:X\nBEGIN:STANDARD\nDTSTART:16010101T000000\nTZOFFSETFROM:+0200\nTZOFFSETTO:+0100\n"
        "RRULE:FREQ=SECONDLY\nEND:STANDARD\nEND:VTIMEZONE\n"
    )

    with pytest.raises(CalendarTextError) as refused:
        expand(calendar("DTSTART;TZID=X:20261224T080000\nDURATION:PT1H", head=zone), now=NOW)

    assert refused.value.code == "unknown_timezone"


def test_an_empty_text_is_an_empty_calendar() -> None:
    assert not expand("  \n", now=NOW).days


@pytest.mark.parametrize(
    ("lines", "hours"),
    [
        ("DTSTART;TZID=Europe/Berlin:20271031T000000\nDURATION:P1D", 25),  # the clocks go back
        ("DTSTART;TZID=Europe/Berlin:20270328T000000\nDURATION:P1D", 23),
        ("DTSTART;TZID=Europe/Berlin:20270328T000000\nDURATION:P1W", 167),
        ("DTSTART;TZID=Europe/Berlin:20271031T000000\nDURATION:P1DT2H", 27),
        ("DTSTART;TZID=Europe/Berlin:20271031T000000\nDURATION:PT3H", 3),
        ("DTSTART;TZID=Europe/Berlin:20271031T000000\nDTEND;TZID=Europe/Berlin:20271101T000000", 25),
        ("DTSTART:20271031T000000Z\nDURATION:P1D", 24),
    ],
)
def test_days_of_a_duration_are_days_of_the_calendar(lines: str, hours: int) -> None:
    ((start, end),) = expand(calendar(lines), now=NOW).spans

    assert end - start == timedelta(hours=hours)


def test_days_of_a_period_are_days_of_the_calendar() -> None:
    lines = "DTSTART;TZID=Europe/Berlin:20270101T000000\nDURATION:PT1H\nRDATE;TZID=Europe/Berlin;VALUE=PERIOD:"

    spans = sorted(expand(calendar(f"{lines}20271031T000000/P1D"), now=NOW).spans)

    assert [end - start for start, end in spans] == [timedelta(hours=1), timedelta(hours=25)]
