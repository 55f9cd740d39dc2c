"""The clock's housekeeping, as django-apscheduler records it: read-only, and without its "run selected".

Jobs run in the clock's own process under a lock; to run one from a web process would be to run it twice.
"""

from django.contrib import admin
from django.utils.safestring import SafeString
from django_apscheduler.models import DjangoJob, DjangoJobExecution

from scheduling.console.badges import badge
from scheduling.console.listing import ReadOnlyAdmin, exact_time

admin.site.unregister([DjangoJob, DjangoJobExecution])


@admin.register(DjangoJob)
class JobAdmin(ReadOnlyAdmin):
    list_display = ("id", "upcoming")
    hidden_fields = ("job_state",)
    upcoming = exact_time("next_run_time", "next")


@admin.register(DjangoJobExecution)
class JobExecutionAdmin(ReadOnlyAdmin):
    list_display = ("job_id", "state", "at", "seconds", "exception")
    list_filter = ("status", "job_id")
    ordering = ("-id",)
    at = exact_time("run_time", "at")

    @admin.display(description="state")
    def state(self, execution: DjangoJobExecution) -> SafeString:
        return badge(execution.status.lower())

    @admin.display(description="duration (s)")
    def seconds(self, execution: DjangoJobExecution) -> str:
        return "" if execution.duration is None else str(execution.duration)
