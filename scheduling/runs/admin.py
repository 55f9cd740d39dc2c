"""The queue and its keys, read-only. Runs themselves are shown by `workers`, which knows their steps."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from scheduling.console.badges import badge, simulated_badge
from scheduling.console.listing import ReadOnlyAdmin, exact_time, object_url
from scheduling.runs.models import ConcurrencyKey, DedupeKey, DueWork, Run, RunEnd
from scheduling.runs.selectors import with_simulated


def _doing(work: DueWork) -> SafeString:
    if work.lease_owner is not None:
        return badge("running", title=f"held by {work.lease_owner}")
    return badge("gated", title=work.gate) if work.gate else badge("queued")


@admin.register(DueWork)
class DueWorkAdmin(ReadOnlyAdmin):
    list_display = ("run_link", "task", "queue", "priority", "doing", "available", "attempt", "claim_count")
    list_select_related = ("task",)
    list_filter = ("queue", "gate", ("lease_owner", admin.EmptyFieldListFilter), "is_suspect")
    ordering = ("available_at", "pk")
    available = exact_time("available_at", "available")

    def get_queryset(self, request: HttpRequest) -> QuerySet[DueWork]:
        return with_simulated(super().get_queryset(request)).select_related("task")

    @admin.display(description="run")
    def run_link(self, work: DueWork) -> SafeString:
        return format_html('<a href="{}">{}</a>', object_url(Run, work.run_id), work.run_id)

    @admin.display(description="doing")
    def doing(self, work: DueWork) -> SafeString:
        return format_html("{} {}", _doing(work), simulated_badge() if work.simulated else "")  # type: ignore[attr-defined]


@admin.register(ConcurrencyKey)
class ConcurrencyKeyAdmin(ReadOnlyAdmin):
    list_display = ("key", "limit", "rate_limit", "rate_period")
    search_fields = ("key",)
    ordering = ("key",)


@admin.register(DedupeKey)
class DedupeKeyAdmin(ReadOnlyAdmin):
    list_display = ("key", "task", "expires")
    list_select_related = ("task",)
    search_fields = ("key",)
    ordering = ("-id",)
    expires = exact_time("expires_at", "expires")


@admin.register(RunEnd)
class RunEndAdmin(ReadOnlyAdmin):
    """Ends of runs that a clock has not acted on yet. It is empty while all is well."""

    list_display = ("run_shown", "task_id", "created")
    ordering = ("id",)
    created = exact_time("created_at", "ended")

    def get_queryset(self, request: HttpRequest) -> QuerySet[RunEnd]:
        return with_simulated(super().get_queryset(request))

    @admin.display(description="run")
    def run_shown(self, end: RunEnd) -> SafeString:
        return format_html("{} {}", end.run_id, simulated_badge() if end.simulated else "")  # type: ignore[attr-defined]
