"""From the text of a calendar to the occurrences in a span. Pure; may run for ever on a hostile rule, so isolate it."""

from datetime import UTC, date, datetime, time, tzinfo
from typing import Any, cast

import icalendar
import recurring_ical_events

from pipelines.errors import ErrorClass, PipelineError


def expand(
    content: bytes, start: datetime, end: datetime, *, zone: tzinfo, limit: int
) -> tuple[list[dict[str, Any]], bool]:
    """At most `limit` occurrences that overlap [start, end), sorted by start, and whether more were left out.

    `start` and `end` are aware. Dates and times without a zone are those of `zone`. Raises PipelineError
    (`bad_calendar`) for what is no calendar.
    """
    try:
        calendar = icalendar.Calendar.from_ical(content)
        query = recurring_ical_events.of(calendar)
        found = []
        for component in query.after(start.astimezone(zone)):
            event = cast(icalendar.Event, component)
            first = _moment(event.start, zone)
            if first >= end:
                break
            if _overlaps(first, _moment(event.end, zone), start):
                found.append((first, event))
            if len(found) > limit:
                break
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        # The libraries answer malformed calendars with all of these.
        raise PipelineError(
            "bad_calendar", ErrorClass.PERMANENT, f"the source is not a valid calendar ({type(error).__name__})"
        ) from error
    found.sort(key=lambda pair: (pair[0], str(pair[1].get("SUMMARY", "")), str(pair[1].get("UID", ""))))
    return [_item(event, zone) for _, event in found[:limit]], len(found) > limit


def _overlaps(first: datetime, last: datetime, start: datetime) -> bool:
    """True for what goes on after `start`, and for an event without length that lies on it."""
    return last > start or first >= start


def _item(event: icalendar.Event, zone: tzinfo) -> dict[str, Any]:
    return {
        "title": _text(event, "SUMMARY") or "",
        "start": _shown(event.start, zone),
        "end": _shown(event.end, zone),
        "all_day": not isinstance(event.start, datetime),
        "location": _text(event, "LOCATION"),
        "description": _text(event, "DESCRIPTION"),
        "uid": _text(event, "UID"),
        "status": (_text(event, "STATUS") or "").lower() or None,
    }


def _text(event: icalendar.Event, name: str) -> str | None:
    value = event.get(name)
    if isinstance(value, list):
        value = value[0] if value else None
    return None if value is None else str(value).replace("\0", "")


def _moment(value: date | datetime, zone: tzinfo) -> datetime:
    if not isinstance(value, datetime):
        return datetime.combine(value, time(), zone)
    return value if value.tzinfo is not None else value.replace(tzinfo=zone)


def _shown(value: date | datetime, zone: tzinfo) -> str:
    """A date as it is; an instant in UTC with Z."""
    if not isinstance(value, datetime):
        return value.isoformat()
    return _moment(value, zone).astimezone(UTC).isoformat().replace("+00:00", "Z")
