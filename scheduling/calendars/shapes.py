"""A calendar as the API shows it."""

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from scheduling.api.shapes import Shape
from scheduling.calendars.definition import Day
from scheduling.calendars.models import Calendar
from scheduling.definitions.fields import Instant


class SpanShape(Shape):
    """A stretch of time; `end` is no part of it."""

    start = Instant()
    end = Instant()


class CalendarSummaryShape(Shape):
    """A calendar in a list."""

    id = serializers.UUIDField()
    agent = serializers.UUIDField(source="agent_id")
    key = serializers.CharField()
    title = serializers.CharField(allow_blank=True)
    day_count = serializers.SerializerMethodField()
    span_count = serializers.SerializerMethodField()
    version = serializers.IntegerField()
    created_at = Instant()
    updated_at = Instant()

    def get_day_count(self, calendar: Calendar) -> int:
        return len(calendar.days)

    def get_span_count(self, calendar: Calendar) -> int:
        return len(calendar.spans_from)


class CalendarShape(CalendarSummaryShape):
    """A calendar with what was given and what it excludes."""

    dates = serializers.ListField(child=Day(), help_text="As they were given.")
    ics = serializers.CharField(allow_blank=True, help_text="As it was given.")
    days = serializers.ListField(child=Day(), help_text="Every excluded day, those of the text included.")
    spans = serializers.SerializerMethodField(help_text="Every excluded span: the timed events of the text.")
    expanded_until = Instant(allow_null=True, help_text="Recurring events go on after it. Null: all is expanded.")

    @extend_schema_field(SpanShape(many=True))
    def get_spans(self, calendar: Calendar) -> list[dict[str, str]]:
        shown = Instant().to_representation
        pairs = zip(calendar.spans_from, calendar.spans_to, strict=True)
        return [{"start": shown(start), "end": shown(end)} for start, end in pairs]
