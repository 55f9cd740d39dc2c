"""Whatever stands in an iCalendar text: it is read, or it is refused with words of ours, and soon."""

import time
from contextlib import suppress
from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from scheduling.calendars.ics import MAX_DAYS, CalendarTextError, expand
from tests.effort import examples

NOW = datetime(2026, 11, 25, tzinfo=UTC)
LINES = (
    """
DTSTART;VALUE=DATE:20261224|DTSTART:20261224T080000Z|DTSTART;TZID=Europe/Berlin:20260329T023000|DTSTART:20261224T080000
DTSTART;VALUE=DATE:00010101|DTSTART:20260230|DTSTART;VALUE=PERIOD:20260101T000000Z/PT1H|DTSTART;TZID=:20261224T080000
DTSTART|DTEND;VALUE=DATE:20261226|DTEND:20261224T090000Z|DTEND:20261224T090000|DURATION:PT1H|DURATION:P1D|DURATION:-P1D
DURATION:P99999999999D|DURATION:PT36H|RRULE:FREQ=DAILY|RRULE:FREQ=WEEKLY;BYDAY=MO,XX|RRULE:FREQ=DAILY;UNTIL=20270101
RRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30|RRULE:FREQ=MONTHLY;BYSETPOS=-1;BYDAY=MO,TU|RRULE:|RRULE:FREQ=DAILY;COUNT=0
EXDATE:20261225T080000Z|EXDATE;VALUE=DATE:20261225|EXDATE:|RDATE;VALUE=PERIOD:20261225T080000Z/PT1H|RDATE:20261225
RDATE;TZID=Nowhere/X:20261225T000000|RECURRENCE-ID:20261225T080000Z|RECURRENCE-ID;VALUE=DATE:20261225|STATUS:CANCELLED
RECURRENCE-ID;RANGE=THISANDFUTURE:20261225T080000Z|UID:1|UID:2|X-A;B="x|SUMMARY|END:VEVENT|BEGIN:VEVENT|BEGIN:VALARM
""".replace("\n", "|")
    .strip("|")
    .split("|")
)
HEADS = ["", "X-WR-TIMEZONE:Europe/Berlin\n", "X-WR-TIMEZONE:Mars/X\n"]
events = st.lists(st.lists(st.sampled_from(LINES), max_size=7, unique=True), max_size=4)


@settings(max_examples=examples(400), deadline=None)
@given(st.sampled_from(HEADS), events)
def test_a_text_is_expanded_or_refused_soon(head, given_events):
    body = "".join("BEGIN:VEVENT\n" + "\n".join(lines) + "\nEND:VEVENT\n" for lines in given_events)
    began = time.thread_time()

    with suppress(CalendarTextError):
        found = expand(f"BEGIN:VCALENDAR\n{head}{body}END:VCALENDAR\n", now=NOW)
        assert len(found.days) <= MAX_DAYS
        assert all(start < end for start, end in found.spans)

    assert time.thread_time() - began < 1
