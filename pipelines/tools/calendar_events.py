"""`calendar.list_events`: what a calendar holds between two instants, recurrences expanded.

A calendar is hostile input and its expansion CPU work without a bound of its own (a SECONDLY rule, a rule that never
matches), so the tool is synchronous and not trusted: it runs in an isolated process that is killed at the time-out.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from pipelines.errors import ErrorClass, PipelineError
from pipelines.tools.base import SideEffect, ToolContext, tool
from pipelines.tools.calendar_source import read_source

MAX_EVENTS = 1000

_INSTANT = {"type": "string", "minLength": 10, "maxLength": 40}
_TEXT_OR_NULL = {"type": ["string", "null"]}
INPUT_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "required": ["source", "start", "end"],
    "additionalProperties": False,
    "properties": {
        "source": {
            "type": "string",
            "minLength": 1,
            "maxLength": 8192,
            "description": "A URL (http, https, webcal) or the name of a file in the operator's calendar folder.",
        },
        "start": {**_INSTANT, "description": "ISO 8601 instant; an event that is still going on then is included."},
        "end": {**_INSTANT, "description": "ISO 8601 instant, after start; an event that begins then is left out."},
        "timezone": {
            "type": "string",
            "description": "IANA zone of whole days and of times without a zone, default UTC.",
        },
        "limit": {"type": "integer", "minimum": 1, "maximum": MAX_EVENTS, "default": MAX_EVENTS},
    },
}
OUTPUT_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "required": ["items", "count"],
    "properties": {
        "items": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["title", "start", "end", "all_day", "location", "description", "uid", "status"],
                "properties": {
                    "title": {"type": "string"},
                    "start": {"type": "string", "description": "UTC instant with Z; a date where all_day."},
                    "end": {"type": "string", "description": "As start; the first day after it where all_day."},
                    "all_day": {"type": "boolean"},
                    "location": _TEXT_OR_NULL,
                    "description": _TEXT_OR_NULL,
                    "uid": _TEXT_OR_NULL,
                    "status": {**_TEXT_OR_NULL, "description": "confirmed, tentative, cancelled or null."},
                },
            },
        },
        "count": {"type": "integer"},
        "truncated": {"type": "boolean", "description": "True where limit cut the list."},
    },
}


def _event(title: str, start: datetime, minutes: int) -> dict[str, Any]:
    return {
        "title": title,
        "start": _instant_text(start),
        "end": _instant_text(start + timedelta(minutes=minutes)),
        "all_day": False,
        "location": None,
        "description": None,
        "uid": f"{title.lower().replace(' ', '-')}@simulated",
        "status": "confirmed",
    }


def _instant_text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


_EXAMPLE_DAY = datetime(2025, 6, 2, tzinfo=UTC)
EXAMPLES = (
    {
        "input": {"source": "day.ics", "start": "2025-06-02T00:00:00Z", "end": "2025-06-03T00:00:00Z"},
        "output": {
            "items": [
                _event("Stand-up", _EXAMPLE_DAY + timedelta(hours=6, minutes=30), 15),
                _event("Design review", _EXAMPLE_DAY + timedelta(hours=12), 60),
            ],
            "count": 2,
            "truncated": False,
        },
    },
)


def simulate(_context: ToolContext, /, *, start: str, end: str, **given: Any) -> dict[str, Any]:
    """Two meetings, early and midway in the span that was asked for."""
    first, last = _span(start, end, _zone(given.get("timezone", "UTC")))
    span = last - first
    items = [_event("Stand-up", first + span / 10, 15), _event("Design review", first + span / 2, 60)]
    items = items[: given.get("limit", MAX_EVENTS)]
    return {"items": items, "count": len(items), "truncated": len(items) < 2}


@tool(
    name="calendar.list_events",
    input_schema=INPUT_SCHEMA,
    output_schema=OUTPUT_SCHEMA,
    side_effect=SideEffect.PURE,
    simulate=simulate,
    examples=EXAMPLES,
)
def list_events(
    context: ToolContext, *, source: str, start: str, end: str, timezone: str = "UTC", limit: int = MAX_EVENTS
) -> dict[str, Any]:
    """List the events of an iCalendar file or URL between two instants, sorted by start.

    Recurring events are expanded, with their exceptions, in their own time zones. Files come from the operator's
    calendar folder and from nowhere else.
    """
    # Here and not above: only the isolated process needs the calendar libraries.
    from pipelines.tools.calendar_expansion import expand

    zone = _zone(timezone)
    first, last = _span(start, end, zone)
    content = read_source(source, seconds=context.time_left.total_seconds(), offline=context.simulated)
    items, is_cut = expand(content, first, last, zone=zone, limit=limit)
    return {"items": items, "count": len(items), "truncated": is_cut}


def _zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise _bad_argument("timezone is not an IANA time zone such as Europe/Chisinau") from None


def _span(start: str, end: str, zone: tzinfo) -> tuple[datetime, datetime]:
    first, last = _instant("start", start, zone), _instant("end", end, zone)
    if last <= first:
        raise _bad_argument("end must be later than start")
    return first, last


def _instant(name: str, text: str, zone: tzinfo) -> datetime:
    """An aware instant; a text without an offset is a local time of `zone`."""
    try:
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo else at.replace(tzinfo=zone)).astimezone(zone)
    except (ValueError, OverflowError):
        raise _bad_argument(f"{name} is not an ISO 8601 instant such as 2025-06-02T08:00:00Z") from None


def _bad_argument(detail: str) -> PipelineError:
    return PipelineError("bad_argument", ErrorClass.VALIDATION, f"calendar.list_events: {detail}")
