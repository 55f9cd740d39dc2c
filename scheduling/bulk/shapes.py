"""Bulk operations as the API shows them."""

from typing import Any

from rest_framework import serializers

from scheduling.api.shapes import Shape
from scheduling.bulk.models import BulkOperation, BulkState
from scheduling.bulk.selectors import allowed_actions
from scheduling.definitions.fields import Instant
from scheduling.runs.models import Run
from scheduling.runs.states import FailureCause


class FailedRunShape(Shape):
    """A run that would be redriven."""

    id = serializers.UUIDField()
    task = serializers.UUIDField(source="task_id")
    cause = serializers.ChoiceField(choices=FailureCause.values)
    code = serializers.SerializerMethodField(help_text="Of its error.")
    simulated = serializers.BooleanField()
    finished_at = Instant(allow_null=True)

    def get_code(self, run: Run) -> str | None:
        return run.error.get("code") if isinstance(run.error, dict) else None


class RedrivePreviewShape(Shape):
    """What a redrive would do."""

    dry_run = serializers.BooleanField(default=True)
    count = serializers.IntegerField(help_text="Send it as expected_count.")
    simulated_count = serializers.IntegerField(help_text="How many of them are simulated runs.")
    is_more = serializers.BooleanField(help_text="More match than one operation takes; it takes the oldest.")
    sample = FailedRunShape(many=True, help_text="The oldest ten.")


class BulkOperationShape(Shape):
    """The same deed on many runs, and how far it has come."""

    id = serializers.UUIDField()
    kind = serializers.CharField(help_text="`redrive`.")
    agent = serializers.UUIDField(source="agent_id", allow_null=True, help_text="Whose runs; null: everybody's.")
    filter = serializers.DictField()
    state = serializers.ChoiceField(choices=BulkState.values)
    state_reason = serializers.CharField(allow_blank=True)
    total_count = serializers.IntegerField(help_text="Runs that matched when it was made.")
    done_count = serializers.IntegerField()
    skipped_count = serializers.IntegerField(help_text="Changed meanwhile, or not possible.")
    created_by = serializers.CharField(allow_blank=True)
    created_at = Instant()
    finished_at = Instant(allow_null=True)
    allowed_actions = serializers.SerializerMethodField()

    def get_allowed_actions(self, operation: BulkOperation) -> list[str]:
        return list(allowed_actions(operation))


def preview_document(found: Any) -> Any:
    return RedrivePreviewShape(
        {
            "dry_run": True,
            "count": found.count,
            "simulated_count": found.simulated_count,
            "is_more": found.is_more,
            "sample": found.sample,
        }
    ).data
