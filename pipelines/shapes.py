"""What requests and answers about documents have in common."""

from typing import Any

from rest_framework import serializers

from scheduling.api.shapes import Shape
from scheduling.tasks.pipeline_field import PipelineField


class DocumentProblem(Shape):
    """One thing that is wrong with a document."""

    pointer = serializers.CharField(allow_blank=True)
    code = serializers.CharField()
    detail = serializers.CharField()
    hint = serializers.CharField(allow_null=True)
    severity = serializers.ChoiceField(choices=["error", "warning"])


class AnyDocument(PipelineField):
    """A document that is judged, not refused: what is wrong with it is the answer."""

    def to_internal_value(self, data: Any) -> Any:
        return data
