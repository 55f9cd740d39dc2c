"""Exclusion calendars in the console."""

from django.contrib import admin

from scheduling.calendars.models import Calendar
from scheduling.console.listing import ReadOnlyAdmin, exact_time


@admin.register(Calendar)
class CalendarAdmin(ReadOnlyAdmin):
    list_display = ("key", "title", "agent", "updated")
    list_select_related = ("agent",)
    search_fields = ("key", "title")
    ordering = ("key",)
    updated = exact_time("updated_at", "updated")
