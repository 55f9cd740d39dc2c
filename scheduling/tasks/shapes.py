"""A task as the API shows it."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from scheduling.api.shapes import Shape
from scheduling.definitions.durations import duration_text
from scheduling.definitions.fields import Duration, Instant, JSONObject, Labels
from scheduling.schedules.shapes import ScheduleShape
from scheduling.tasks.definition import Concurrency, Deduplication
from scheduling.tasks.models import OverlapPolicy, Task, TaskState
from scheduling.tasks.operations import allowed_actions


class TaskShape(Shape):
    """A definition: what is run, when, and how its runs are kept apart."""

    id = serializers.UUIDField()
    key = serializers.CharField()
    title = serializers.CharField()
    description = serializers.CharField(allow_blank=True)
    agent = serializers.UUIDField(source="agent_id")
    state = serializers.ChoiceField(choices=TaskState.values)
    paused_at = Instant(allow_null=True)
    paused_until = Instant(allow_null=True)
    pause_reason = serializers.CharField(allow_blank=True)
    pipeline = JSONObject(source="current_revision.document")
    revision = serializers.IntegerField(source="current_revision.number")
    params = JSONObject()
    schedules = ScheduleShape(many=True)
    simulate = serializers.BooleanField()
    priority = serializers.IntegerField()
    queue = serializers.CharField()
    overlap = serializers.ChoiceField(choices=OverlapPolicy.values)
    retry = JSONObject()
    timeout = Duration(allow_null=True)
    pause_after_failures = serializers.IntegerField(allow_null=True)
    keep_runs = serializers.IntegerField(allow_null=True)
    keep_for = Duration(allow_null=True)
    concurrency = serializers.SerializerMethodField()
    dedupe = serializers.SerializerMethodField()
    labels = Labels()
    version = serializers.IntegerField(help_text="The ETag.")
    created_at = Instant()
    updated_at = Instant()
    archived_at = Instant(allow_null=True)
    allowed_actions = serializers.SerializerMethodField()

    @extend_schema_field(Concurrency(allow_null=True))
    def get_concurrency(self, task: Task) -> dict[str, Any] | None:
        if not task.concurrency_key:
            return None
        rate = None
        if task.rate_period is not None:
            rate = {"limit": task.rate_limit, "period": duration_text(task.rate_period)}
        return {"key": task.shown_concurrency_key, "limit": task.concurrency_limit, "rate": rate}

    @extend_schema_field(Deduplication(allow_null=True))
    def get_dedupe(self, task: Task) -> dict[str, Any] | None:
        if task.dedupe_window is None:
            return None
        return {"key": task.dedupe_key, "window": duration_text(task.dedupe_window)}

    def get_allowed_actions(self, task: Task) -> list[str]:
        return list(allowed_actions(task))


class RevisionShape(Shape):
    """One saved pipeline of a task; never changed."""

    id = serializers.UUIDField()
    number = serializers.IntegerField()
    document = JSONObject()
    digest = serializers.CharField(help_text="SHA-256 of the normalised document.")
    created_by = serializers.CharField()
    created_at = Instant()
