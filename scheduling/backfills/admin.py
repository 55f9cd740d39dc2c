"""Backfills in the console."""

from django.contrib import admin

from scheduling.backfills.models import Backfill
from scheduling.console.listing import ReadOnlyAdmin, exact_time


@admin.register(Backfill)
class BackfillAdmin(ReadOnlyAdmin):
    list_display = ("schedule", "state", "started_count", "total_count", "created")
    list_select_related = ("schedule",)
    list_filter = ("state",)
    ordering = ("-id",)
    created = exact_time("created_at", "created")
