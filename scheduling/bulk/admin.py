"""Bulk operations in the console: watched, and canceled."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString

from scheduling.agents.roles import OPERATE_RUN
from scheduling.audit.operations import Actor
from scheduling.bulk.models import BulkOperation, BulkState
from scheduling.bulk.operations import cancel_operation
from scheduling.console.badges import Tone, badge
from scheduling.console.deeds import Deed, DeedsAdmin
from scheduling.console.listing import ReadOnlyAdmin, exact_time


def _cancel(actor: Actor, operation: BulkOperation) -> str:
    canceled = cancel_operation(actor=actor, operation=operation)
    return f"It is canceled; {canceled.done_count} runs had been redriven."


@admin.register(BulkOperation)
class BulkOperationAdmin(DeedsAdmin, ReadOnlyAdmin):
    list_display = ("kind", "state_shown", "progress", "created_by", "created", "finished")
    list_filter = ("state",)
    ordering = ("-id",)
    change_form_outer_before_template = "console/bulk_before.html"
    created = exact_time("created_at", "created")
    finished = exact_time("finished_at", "finished")
    deeds = (
        Deed(
            name="cancel",
            label="Cancel",
            permission=OPERATE_RUN,
            perform=_cancel,
            is_offered=lambda operation: operation.state == BulkState.RUNNING,
            confirm="Take no further batch? What is done stays done.",
            is_danger=True,
        ),
    )

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        operation = self.get_object(request, object_id)
        context = extra_context or {}
        if operation is not None:
            dealt = operation.done_count + operation.skipped_count
            context |= {"operation": operation, "buttons": self.buttons(request, operation), "dealt": dealt}
        return super().change_view(request, object_id, form_url, context)  # type: ignore[no-any-return]

    @admin.display(description="state", ordering="state")
    def state_shown(self, operation: BulkOperation) -> SafeString:
        return badge(operation.state, Tone.BUSY if operation.state == BulkState.RUNNING else None)

    @admin.display(description="done")
    def progress(self, operation: BulkOperation) -> str:
        return f"{operation.done_count + operation.skipped_count} of {operation.total_count}"
