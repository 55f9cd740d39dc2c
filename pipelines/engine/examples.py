"""A small value that fits a JSON Schema: what a simulated tool answers when nothing better is known."""

from collections.abc import Mapping
from typing import Any

_MAX_DEPTH = 12
_FORMATS = {
    "date-time": "2025-01-01T00:00:00Z",
    "date": "2025-01-01",
    "time": "00:00:00Z",
    "duration": "PT1S",
    "email": "someone@example.com",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-7000-8000-000000000000",
}


def smallest_instance(schema: Any) -> Any:
    """Examples, defaults and constants first, then the required parts alone. Null where the schema says nothing."""
    return _instance(schema, schema, 0)


def _instance(schema: Any, root: Any, depth: int) -> Any:
    if not isinstance(schema, Mapping) or depth > _MAX_DEPTH:
        return None
    for keyword in ("const", "default"):
        if keyword in schema:
            return schema[keyword]
    for keyword in ("examples", "enum"):
        if schema.get(keyword):
            return schema[keyword][0]
    if "$ref" in schema:
        return _instance(_resolve(root, str(schema["$ref"])), root, depth + 1)
    for keyword in ("oneOf", "anyOf", "allOf"):
        if schema.get(keyword):
            return _instance(schema[keyword][0], root, depth + 1)
    return _of_type(schema, root, depth)


def _of_type(schema: Mapping[str, Any], root: Any, depth: int) -> Any:
    kind = schema.get("type", "object" if "properties" in schema or "required" in schema else None)
    if isinstance(kind, list):
        kind = kind[0]
    match kind:
        case "object":
            properties = schema.get("properties", {})
            return {name: _instance(properties.get(name), root, depth + 1) for name in schema.get("required", ())}
        case "array":
            return [_instance(schema.get("items"), root, depth + 1)] * int(schema.get("minItems", 0))
        case "string":
            return _FORMATS.get(str(schema.get("format")), "x" * int(schema.get("minLength", 0)))
        case "integer" | "number":
            return schema.get("minimum", max(0, schema.get("exclusiveMinimum", -1) + 1))
        case "boolean":
            return False
        case _:
            return None


def _resolve(root: Any, reference: str) -> Any:
    """The part of the same schema that a local reference names; None for any other."""
    if not reference.startswith("#"):
        return None
    found = root
    for key in reference.removeprefix("#").split("/")[1:]:
        name = key.replace("~1", "/").replace("~0", "~")
        found = found.get(name) if isinstance(found, Mapping) else None
    return found
