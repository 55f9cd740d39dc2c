"""A calendar as it is written, and how what is written becomes days and spans."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from scheduling.calendars.exclusions import value_of
from scheduling.calendars.ics import MAX_DAYS, MAX_TEXT, CalendarTextError, expand, require_few, too_many_days
from scheduling.calendars.models import Calendar
from scheduling.definitions.fields import Slug, Text
from scheduling.definitions.strict import StrictSerializer, json_type, refusal
from scheduling.errors import NotValid

_COLUMNS = ("key", "title", "dates", "ics")


@extend_schema_field({"type": "string", "format": "date", "example": "2026-12-25"})
class Day(serializers.Field[date, Any, str, Any]):
    """An ISO 8601 date."""

    def to_internal_value(self, data: Any) -> date:
        hint = 'An example: "2026-12-25".'
        if not isinstance(data, str):
            raise refusal("wrong_type", f"This must be an ISO 8601 date, not {json_type(data)}.", hint=hint)
        try:
            if len(data) != 10:
                raise ValueError(data)
            day = date.fromisoformat(data)
        except ValueError as error:
            raise refusal("invalid_date", f"{data[:80]!r} is no ISO 8601 date.", hint=hint) from error
        if not 1900 <= day.year < 9900:
            raise refusal("out_of_range", "The year must be between 1900 and 9899.")
        return day

    def to_representation(self, value: date) -> str:
        return value.isoformat()


class CalendarDefinition(StrictSerializer):
    """Days on which schedules do not fire: a list of dates, an iCalendar text, or both."""

    key = Slug(max_length=120, help_text="What schedules name it by; unique for its agent.")
    title = Text(required=False, default="", allow_blank=True, max_length=200)
    dates = serializers.ListField(child=Day(), required=False, default=list, max_length=MAX_DAYS)
    ics = Text(
        required=False,
        default="",
        allow_blank=True,
        max_length=MAX_TEXT,
        help_text="iCalendar text: all-day events are days, timed ones spans of time.",
    )


def apply(calendar: Calendar, values: Mapping[str, Any], *, now: datetime) -> None:
    """Lay validated values over the columns and expand them; those that are missing stay. NotValid at `/ics`."""
    for column in _COLUMNS:
        if column in values:
            setattr(calendar, column, values[column])
    calendar.dates = sorted(set(calendar.dates))
    expand_columns(calendar, now=now)


def expand_columns(calendar: Calendar, *, now: datetime) -> None:
    """Set the columns of days and spans from what was given. NotValid where it is too much or cannot be read."""
    pointer = "/ics" if calendar.ics.strip() else "/dates"
    try:
        found = expand(calendar.ics, now=now)
        calendar.days = sorted(found.days | set(calendar.dates))
        if len(calendar.days) > MAX_DAYS:
            raise too_many_days()
        spans = sorted(set(found.spans))
        calendar.spans_from, calendar.spans_to = [low for low, _ in spans], [high for _, high in spans]
        calendar.expanded_until = found.until
        require_few(value_of(calendar))
    except CalendarTextError as error:
        raise NotValid.at(pointer, error.code, error.detail, error.hint) from error
