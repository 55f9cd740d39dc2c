"""The JSON Schema of documents that editors and other programs use. Ours are the same parts, checked piece by piece."""

from typing import Any

from pipelines.document.kinds import KINDS
from pipelines.document.shape import DOCUMENT_FIELDS, FIXTURE, RETRY, STEP_FIELDS, STEP_LIST, object_of

_SCHEMA_ID = "https://json-schema.org/draft/2020-12/schema"


def document_schema() -> dict[str, Any]:
    """JSON Schema 2020-12 of a document of version 1. It cannot say that names exist; `validate` does."""
    step_fields = {
        **STEP_FIELDS,
        "retry": {"$ref": "#/$defs/retry"},
        "simulate": {
            "oneOf": [
                {"enum": ["real", True]},
                {"$ref": "#/$defs/fixture"},
                {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/fixture"}},
            ]
        },
    }
    return {
        "$schema": _SCHEMA_ID,
        "title": "Ordinaut pipeline, version 1",
        **object_of(_published(DOCUMENT_FIELDS), ["steps"]),
        "$defs": {
            "retry": RETRY,
            "fixture": {**FIXTURE, "oneOf": [{"required": ["output"]}, {"required": ["error"]}]},
            "step": {"oneOf": [{"$ref": f"#/$defs/{kind.name}"} for kind in KINDS.values()]},
            "steps": {**STEP_LIST, "minItems": 1, "items": {"$ref": "#/$defs/step"}},
            **{
                kind.name: object_of({**step_fields, **_published(kind.fields)}, kind.required)
                for kind in KINDS.values()
            },
        },
    }


def _published(schema: Any) -> Any:
    """With a reference for each list of steps."""
    if schema is STEP_LIST:
        return {"$ref": "#/$defs/steps"}
    if isinstance(schema, dict):
        return {key: _published(value) for key, value in schema.items()}
    return [_published(value) for value in schema] if isinstance(schema, list) else schema
