from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from pipelines.errors import PipelineError
from pipelines.tools.base import ToolContext
from pipelines.tools.calendar_events import OUTPUT_SCHEMA, list_events
from pipelines.tools.calendar_expansion import expand
from pipelines.tools.json_schema import first_breach

DAILY = "DTSTART;TZID=Europe/Chisinau:20250106T093000\r\nDURATION:PT15M\r\nRRULE:FREQ=DAILY\r\nSUMMARY:Stand-up"


def calendar(*events: str) -> bytes:
    bodies = "".join(
        f"BEGIN:VEVENT\r\nUID:{number}\r\n{event}\r\nEND:VEVENT\r\n" for number, event in enumerate(events)
    )
    return f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//test//EN\r\n{bodies}END:VCALENDAR\r\n".encode()


def listed(content: bytes, start: str, end: str, *, zone: str = "UTC", limit: int = 100):
    first, last = (datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)) for text in (start, end))
    return expand(content, first, last, zone=ZoneInfo(zone), limit=limit)


def starts(content: bytes, start: str, end: str, **options) -> list[str]:
    items, _ = listed(content, start, end, **options)
    return [item["start"] for item in items]


@pytest.mark.parametrize(
    ("day", "instant"),
    [
        ("2025-03-29", "2025-03-29T07:30:00Z"),
        ("2025-03-30", "2025-03-30T06:30:00Z"),
        ("2025-10-25", "2025-10-25T06:30:00Z"),
        ("2025-10-26", "2025-10-26T07:30:00Z"),
    ],
)
def test_a_daily_meeting_keeps_its_local_time_over_both_clock_changes(day, instant):
    next_day = (datetime.fromisoformat(day) + timedelta(days=1)).date().isoformat()

    assert starts(calendar(DAILY), day, next_day) == [instant]


def test_exceptions_and_moved_occurrences_are_respected():
    moved = (
        "DTSTART;TZID=Europe/Chisinau:20250107T110000\r\nDURATION:PT15M\r\nSUMMARY:Moved\r\n"
        "RECURRENCE-ID;TZID=Europe/Chisinau:20250107T093000"
    )
    content = calendar(DAILY + "\r\nEXDATE;TZID=Europe/Chisinau:20250108T093000", moved).replace(b"UID:1", b"UID:0")

    assert starts(content, "2025-01-06", "2025-01-10") == [
        "2025-01-06T07:30:00Z",
        "2025-01-07T09:00:00Z",
        "2025-01-09T07:30:00Z",
    ]


def test_the_span_is_half_open_and_what_is_going_on_counts():
    content = calendar(
        "DTSTART:20250602T090000Z\r\nDTEND:20250602T110000Z\r\nSUMMARY:going on",
        "DTSTART:20250602T080000Z\r\nDTEND:20250602T100000Z\r\nSUMMARY:just over",
        "DTSTART:20250602T120000Z\r\nDTEND:20250602T130000Z\r\nSUMMARY:begins at the end",
        "DTSTART:20250602T100000Z\r\nSUMMARY:an instant",
    )

    items, _ = listed(content, "2025-06-02T10:00", "2025-06-02T12:00")

    assert [item["title"] for item in items] == ["going on", "an instant"]


def test_a_whole_day_and_a_time_without_a_zone_are_those_of_the_zone_asked_for():
    content = calendar(
        "DTSTART;VALUE=DATE:20250602\r\nDTEND;VALUE=DATE:20250603\r\nSUMMARY:Holiday", "DTSTART:20250602T100000"
    )

    items, _ = listed(content, "2025-06-02", "2025-06-03", zone="America/New_York")

    assert [(item["start"], item["end"], item["all_day"]) for item in items] == [
        ("2025-06-02", "2025-06-03", True),
        ("2025-06-02T14:00:00Z", "2025-06-02T14:00:00Z", False),
    ]
    assert starts(content, "2025-06-03", "2025-06-04", zone="America/New_York") == []


def test_every_field_is_told():
    content = calendar(
        "DTSTART:20250602T100000Z\r\nSUMMARY:Ședință\\, lungă\r\n"
        "LOCATION:Sala 2\r\nDESCRIPTION:a\\nb\r\nSTATUS:TENTATIVE"
    )

    ((item,), is_cut) = listed(content, "2025-06-02", "2025-06-03")

    assert (item["title"], item["location"], item["description"]) == ("Ședință, lungă", "Sala 2", "a\nb")
    assert (item["uid"], item["status"], is_cut) == ("0", "tentative", False)
    assert first_breach(OUTPUT_SCHEMA, {"items": [item], "count": 1}) is None


def test_a_list_is_cut_at_its_limit_and_says_so():
    content = calendar("DTSTART:20250101T000000Z\r\nRRULE:FREQ=MINUTELY\r\nSUMMARY:tick")

    items, is_cut = listed(content, "2025-01-01", "2025-01-02", limit=5)

    assert [item["start"][11:16] for item in items] == ["00:00", "00:01", "00:02", "00:03", "00:04"]
    assert is_cut


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        b"\xff\xfe\x00",
        calendar("DTSTART:nonsense"),
        calendar("SUMMARY:no start"),
        calendar("DTSTART:20250602T100000Z\r\nRRULE:FREQ=NOPE"),
        b"BEGIN:VCALENDAR\r\n" * 5000,
    ],
)
def test_what_is_no_calendar_is_one_clear_error(content):
    with pytest.raises(PipelineError) as caught:
        listed(content, "2025-06-02", "2025-06-03")

    assert caught.value.code == "bad_calendar"


@pytest.mark.parametrize(
    "given",
    [
        {"start": "yesterday", "end": "2025-06-03T00:00:00Z"},
        {"start": "2025-06-03T00:00:00Z", "end": "2025-06-03T00:00:00Z"},
        {"start": "2025-06-02T00:00:00Z", "end": "2025-06-03T00:00:00Z", "timezone": "Mars/Base"},
        {"start": "2025-06-02T00:00:00Z", "end": "2025-06-03T00:00:00Z", "timezone": "../etc/passwd"},
    ],
)
def test_a_span_that_is_none_is_a_bad_argument(given):
    context = ToolContext(
        run_id="r",
        task_id="t",
        step_path="e",
        attempt=1,
        idempotency_key="k",
        now=datetime(2025, 6, 2, tzinfo=UTC),
        time_left=timedelta(seconds=5),
    )
    assert list_events.simulate is not None

    with pytest.raises(PipelineError, match="bad_argument"):
        list_events.simulate(context, source="x", **given)
