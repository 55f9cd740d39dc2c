"""A queue as the API shows it."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from scheduling.api.shapes import Shape
from scheduling.definitions.durations import duration_text
from scheduling.definitions.fields import Instant
from scheduling.queues.definition import QueueRate
from scheduling.queues.selectors import QueueState


class QueueShape(Shape):
    """What waits in a queue, and how it is operated."""

    queue = serializers.CharField(source="depth.queue")
    due = serializers.IntegerField(
        source="depth.due", help_text="May be claimed now; in a paused queue, once it is resumed."
    )
    sleeping = serializers.IntegerField(
        source="depth.sleeping", help_text="Later: retries, waits and runs that are not due."
    )
    gated = serializers.IntegerField(
        source="depth.gated", help_text="Not yet: a paused task, behind another run, or behind a full key."
    )
    running = serializers.IntegerField(source="depth.running")
    oldest_due_seconds = serializers.FloatField(source="depth.oldest_due_seconds", allow_null=True)
    paused = serializers.BooleanField(source="is_paused")
    paused_at = serializers.SerializerMethodField()
    paused_until = serializers.SerializerMethodField(help_text="Null: until it is resumed.")
    pause_reason = serializers.SerializerMethodField()
    rate = serializers.SerializerMethodField()
    fair = serializers.BooleanField(source="control.is_fair")
    weight = serializers.IntegerField(source="control.weight")
    updated_at = serializers.SerializerMethodField(help_text="Null: nobody has operated it.")
    allowed_actions = serializers.ListField(child=serializers.CharField())

    @extend_schema_field(Instant(allow_null=True))
    def get_paused_at(self, state: QueueState) -> str | None:
        return _shown(state.control.paused_at) if state.is_paused else None

    @extend_schema_field(Instant(allow_null=True))
    def get_paused_until(self, state: QueueState) -> str | None:
        return _shown(state.control.paused_until) if state.is_paused else None

    def get_pause_reason(self, state: QueueState) -> str:
        return state.control.pause_reason if state.is_paused else ""

    @extend_schema_field(QueueRate(allow_null=True))
    def get_rate(self, state: QueueState) -> dict[str, Any] | None:
        queue = state.control
        if queue.rate_period is None:
            return None
        return {"limit": queue.rate_limit, "period": duration_text(queue.rate_period), "burst": queue.burst}

    @extend_schema_field(Instant(allow_null=True))
    def get_updated_at(self, state: QueueState) -> str | None:
        return _shown(state.control.updated_at) if state.control.is_stored else None


class QueuePage(Shape):
    """Every queue that holds something or is operated."""

    items = QueueShape(many=True)
    next = serializers.URLField(allow_null=True)
    prev = serializers.URLField(allow_null=True)


def _shown(instant: Any) -> str | None:
    return None if instant is None else Instant().to_representation(instant)
