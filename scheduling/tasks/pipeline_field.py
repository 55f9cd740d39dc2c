"""A pipeline inside a definition: an object, or the same document as YAML or JSON text."""

from collections.abc import Mapping, Sequence
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from scheduling.definitions.strict import json_type, refusal, refusal_of
from scheduling.errors import Problem
from scheduling.ports import pipeline_port

_WRAPPER = "document"  # no document has a field of this name


@extend_schema_field(
    {
        "oneOf": [{"type": "object", "additionalProperties": True}, {"type": "string"}],
        "description": "A pipeline document, as an object or as YAML or JSON text; see `GET /pipelines/schema`. It may"
        " also stand under `document`, as `POST /pipelines/validate` takes it.",
    }
)
class PipelineField(serializers.Field[dict[str, Any], Any, Any, Any]):
    """Judged by the pipeline port; the value is the normalised document. The context may hold `agent_id`."""

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        under = ""
        if isinstance(data, Mapping) and list(data) == [_WRAPPER]:
            data, under = data[_WRAPPER], f"/{_WRAPPER}"
        document = read_document(data, under=under)
        port = pipeline_port()
        found = port.validate(document, agent_id=self.context.get("agent_id"))
        errors = [Problem.of(each, under=under) for each in found if each.get("severity", "error") == "error"]
        if errors:
            raise refusal_of(errors)
        return port.normalise(document)

    def to_representation(self, value: Any) -> Any:
        return value


def read_document(data: Any, *, under: str = "") -> Any:
    """The document itself; text is parsed. Raises DRF's ValidationError with the problems of the text, at places below
    `under`."""
    if isinstance(data, Mapping):
        return data
    if not isinstance(data, str):
        raise refusal("wrong_type", f"A pipeline is an object, or YAML or JSON text, not {json_type(data)}.")
    try:
        return pipeline_port().parse(data)
    except ValueError as error:
        raise refusal_of(_problems_of_text(error, under)) from error


def _problems_of_text(error: ValueError, under: str) -> list[Problem]:
    found: Sequence[Any] = getattr(error, "problems", ())
    problems = [Problem.of(each if isinstance(each, Mapping) else each.as_dict(), under=under) for each in found]
    return problems or [Problem(pointer=under, code="unreadable", detail=str(error))]
