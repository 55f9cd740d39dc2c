"""An approval as the API shows it."""

from typing import Any

from rest_framework import serializers

from scheduling.api.shapes import Shape
from scheduling.definitions.fields import Instant, JSONObject, Text
from scheduling.definitions.strict import StrictSerializer
from workers.approvals.operations import MAX_REASON
from workers.approvals.selectors import STATES, Decider
from workers.models import Question


class ApprovalShape(Shape):
    """What a run asks people to decide."""

    id = serializers.UUIDField()
    run = serializers.UUIDField(source="run_id")
    task = serializers.UUIDField(source="run.task_id")
    step = serializers.CharField(source="shown_path")
    state = serializers.ChoiceField(source="now_is", choices=STATES)
    title = serializers.CharField(source="asks.title")
    detail = serializers.CharField(source="asks.detail", allow_blank=True)
    form = serializers.JSONField(
        source="asks.form", allow_null=True, help_text="JSON Schema of what whoever approves fills in; null: nothing."
    )
    roles = serializers.ListField(source="asks.roles", child=serializers.CharField(), help_text="Empty: anybody.")
    until = Instant(allow_null=True, help_text="When the time for it is over; null: never.")
    created_at = Instant()
    answered_at = Instant(allow_null=True)
    answered_by = serializers.SerializerMethodField()
    answer = serializers.SerializerMethodField(help_text="The filled-in form; null where nobody has approved.")
    reason = serializers.SerializerMethodField()
    allowed_actions = serializers.SerializerMethodField(help_text="What the caller may do to it.")

    def get_answered_by(self, approval: Question) -> str | None:
        by: str | None = _answered(approval, "by")
        return by

    def get_answer(self, approval: Question) -> dict[str, Any] | None:
        form: dict[str, Any] = _answered(approval, "form")
        return form if _answered(approval, "approved") else None

    def get_reason(self, approval: Question) -> str:
        return _answered(approval, "reason") or ""

    def get_allowed_actions(self, approval: Question) -> list[str]:
        decider: Decider = self.context["decider"]
        return decider.actions(approval)


class Approving(StrictSerializer):
    """What the form asks for, and why it is approved."""

    form = JSONObject(required=False, default=dict, help_text="As the approval's `form` says.")
    reason = Text(required=False, allow_blank=True, default="", max_length=MAX_REASON)


class Rejecting(StrictSerializer):
    """Why it is rejected."""

    reason = Text(required=False, allow_blank=True, default="", max_length=MAX_REASON)


def _answered(approval: Question, name: str) -> Any:
    return approval.answer.get(name) if isinstance(approval.answer, dict) else None
