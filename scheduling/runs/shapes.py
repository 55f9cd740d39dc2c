"""A run as the API shows it."""

from typing import Any

from rest_framework import serializers

from scheduling.api.shapes import Shape
from scheduling.definitions.fields import Instant
from scheduling.runs.models import Run
from scheduling.runs.selectors import allowed_actions, attempt_of, due_work_of, effective_state, started_at_of
from scheduling.runs.states import FailureCause, RunState, SkipReason, TriggerKind


class RunShape(Shape):
    """One execution of a task for one trigger."""

    id = serializers.UUIDField()
    task = serializers.UUIDField(source="task_id")
    revision = serializers.UUIDField(source="revision_id")
    schedule = serializers.UUIDField(source="schedule_id", allow_null=True)
    backfill = serializers.UUIDField(source="backfill_id", allow_null=True)
    event = serializers.UUIDField(source="event_id", allow_null=True, help_text="What its pipeline reads as `event`.")
    state = serializers.SerializerMethodField()
    cause = serializers.ChoiceField(choices=FailureCause.values, allow_blank=True, help_text="Why it failed.")
    skip_reason = serializers.ChoiceField(choices=SkipReason.values, allow_blank=True)
    trigger = serializers.ChoiceField(choices=TriggerKind.values, source="trigger_kind")
    triggered_by = serializers.CharField(allow_blank=True)
    scheduled_for = Instant(allow_null=True)
    available_at = serializers.SerializerMethodField(help_text="Not to start before; null once it has ended.")
    attempt = serializers.SerializerMethodField()
    params = serializers.SerializerMethodField()
    output = serializers.JSONField(allow_null=True)
    error = serializers.JSONField(allow_null=True)
    simulated = serializers.BooleanField()
    parent = serializers.UUIDField(source="parent_id", allow_null=True)  # type: ignore[assignment]
    replay_of = serializers.UUIDField(source="replay_of_id", allow_null=True)
    cancel_requested = serializers.SerializerMethodField()
    created_at = Instant()
    started_at = serializers.SerializerMethodField()
    finished_at = Instant(allow_null=True)
    allowed_actions = serializers.SerializerMethodField()

    def get_state(self, run: Run) -> RunState:
        return effective_state(run)

    def get_attempt(self, run: Run) -> int:
        return attempt_of(run)

    def get_available_at(self, run: Run) -> str | None:
        work = due_work_of(run)
        return None if work is None else Instant().to_representation(work.available_at)

    def get_params(self, run: Run) -> dict[str, Any]:
        return run.params or {}

    def get_cancel_requested(self, run: Run) -> bool:
        work = due_work_of(run)
        return work is not None and work.cancel_requested_at is not None

    def get_started_at(self, run: Run) -> str | None:
        instant = started_at_of(run)
        return None if instant is None else Instant().to_representation(instant)

    def get_allowed_actions(self, run: Run) -> list[str]:
        return list(allowed_actions(run))
