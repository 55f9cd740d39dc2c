"""Exclusion calendars in the console: what they leave out next, and who leaves it out."""

from datetime import UTC, datetime
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from scheduling.audit.operations import Actor
from scheduling.calendars import operations
from scheduling.calendars.models import Calendar
from scheduling.console.deeds import Deed
from scheduling.console.forms import OperationAdmin, OperationForm
from scheduling.console.listing import exact_time
from scheduling.console.words import moment
from scheduling.instants import database_now

_SHOWN = 15


def _area(rows: int, help_text: str) -> forms.CharField:
    return forms.CharField(required=False, help_text=help_text, widget=UnfoldAdminTextareaWidget({"rows": rows}))


class CalendarForm(OperationForm):
    """The fields as text, because the operation reads text: one parser for console and API."""

    key = forms.CharField(
        help_text="Unique for its agent; what schedules name it by.", widget=UnfoldAdminTextInputWidget
    )
    title = forms.CharField(required=False, widget=UnfoldAdminTextInputWidget)
    dates = _area(8, "Days, such as 2026-12-25, one a line.")
    ics = _area(8, "iCalendar text (.ics): all-day events are days, timed ones spans of time.")

    class Meta:
        model = Calendar
        fields = ("agent",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.is_new:
            written = {name: getattr(self.instance, name) for name in ("key", "title", "ics")}
            dates = "\n".join(day.isoformat() for day in self.instance.dates)
            self.initial = {**self.initial, **written, "dates": dates}

    def carry_out(self, given: dict[str, Any]) -> Calendar:
        definition = {
            "key": given["key"],
            "title": given["title"],
            "dates": given["dates"].split(),
            "ics": given["ics"].replace("\r\n", "\n"),
        }
        if self.is_new:
            return operations.create_calendar(actor=self.actor, agent=given["agent"], definition=definition)
        return operations.update_calendar(actor=self.actor, calendar=self.instance, changes=definition)


def _delete(actor: Actor, calendar: Calendar) -> SafeString:
    operations.delete_calendar(actor=actor, calendar=calendar)
    return format_html("{} is deleted.", calendar)


@admin.register(Calendar)
class CalendarAdmin(OperationAdmin):
    form = CalendarForm
    list_display = ("key", "title", "agent", "day_count", "span_count", "updated")
    list_select_related = ("agent",)
    search_fields = ("key", "title")
    ordering = ("key",)
    autocomplete_fields = ("agent",)
    change_form_outer_before_template = "console/calendar_before.html"
    fieldsets = ((None, {"fields": ("agent", "key", "title", "dates", "ics")}),)
    updated = exact_time("updated_at", "updated")
    deeds = (
        Deed(
            name="delete",
            label="Delete",
            permission="scheduling.delete_calendar",
            perform=_delete,
            confirm="Delete this calendar? This cannot be undone.",
            is_danger=True,
            removes=True,
        ),
    )

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Not by Django's own page, which knows no operations: deleting is a deed."""
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("agent",) if obj else ()

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        calendar = self.get_object(request, object_id)
        context = extra_context or {}
        if calendar is not None:
            users = operations.schedules_naming(calendar).select_related("task").order_by("-pk")
            context |= {
                "calendar": calendar,
                "buttons": self.buttons(request, calendar),
                "coming": _coming(calendar, database_now()),
                "users": users[:_SHOWN],
            }
        return super().change_view(request, object_id, form_url, context)  # type: ignore[no-any-return]

    @admin.display(description="days")
    def day_count(self, calendar: Calendar) -> int:
        return len(calendar.days)

    @admin.display(description="spans")
    def span_count(self, calendar: Calendar) -> int:
        return len(calendar.spans_from)


def _coming(calendar: Calendar, now: datetime) -> list[str]:
    """What it leaves out next, in words: local days, and spans in UTC."""
    today = now.astimezone(UTC).date()
    days = [(day.isoformat(), f"{day:%a %Y-%m-%d}") for day in calendar.days if day >= today]
    spans = [
        (start.isoformat(), f"{moment(start)} to {moment(end)}")
        for start, end in zip(calendar.spans_from, calendar.spans_to, strict=True)
        if end > now
    ]
    return [words for _, words in sorted(days[:_SHOWN] + spans[:_SHOWN])[:_SHOWN]]
