"""A small value that fits a JSON Schema: what a simulated tool answers when nothing better is known."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_MAX_DEPTH = 12
# Parts of one value, and characters of its texts: a schema may ask for any number of them.
_MOST_PARTS = 1_000
_MOST_CHARACTERS = 10_000
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
    """Examples, defaults and constants first, then the required parts alone. Null where the schema says nothing, and
    for what would be more than a thousand parts or ten thousand characters."""
    return _Maker(schema).make(schema, 0)


@dataclass(slots=True)
class _Maker:
    root: Any
    parts: int = 0
    characters: int = 0

    def make(self, schema: Any, depth: int) -> Any:
        self.parts += 1
        if not isinstance(schema, Mapping) or depth > _MAX_DEPTH or self.parts > _MOST_PARTS:
            return None
        for keyword in ("const", "default"):
            if keyword in schema:
                return schema[keyword]
        for keyword in ("examples", "enum"):
            if schema.get(keyword):
                return schema[keyword][0]
        if "$ref" in schema:
            return self.make(_resolve(self.root, str(schema["$ref"])), depth + 1)
        for keyword in ("oneOf", "anyOf", "allOf"):
            if schema.get(keyword):
                return self.make(schema[keyword][0], depth + 1)
        return self._of_type(schema, depth)

    def _of_type(self, schema: Mapping[str, Any], depth: int) -> Any:
        kind = schema.get("type", "object" if "properties" in schema or "required" in schema else None)
        if isinstance(kind, list):
            kind = kind[0]
        match kind:
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, depth)
            case "string":
                return _FORMATS.get(str(schema.get("format"))) or self._text(int(schema.get("minLength", 0)))
            case "integer" | "number":
                return schema.get("minimum", max(0, schema.get("exclusiveMinimum", -1) + 1))
            case "boolean":
                return False
            case _:
                return None

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        properties, made = schema.get("properties", {}), {}
        for name in schema.get("required", ()):
            if self.parts > _MOST_PARTS:
                break
            made[name] = self.make(properties.get(name), depth + 1)
        return made

    def _array(self, schema: Mapping[str, Any], depth: int) -> list[Any] | None:
        made: list[Any] = []
        while len(made) < int(schema.get("minItems", 0)):
            if self.parts > _MOST_PARTS:
                return None
            made.append(self.make(schema.get("items"), depth + 1))
        return made

    def _text(self, length: int) -> str | None:
        self.characters += length
        return None if self.characters > _MOST_CHARACTERS else "x" * length


def _resolve(root: Any, reference: str) -> Any:
    """The part of the same schema that a local reference names; None for any other."""
    if not reference.startswith("#"):
        return None
    found = root
    for key in reference.removeprefix("#").split("/")[1:]:
        name = key.replace("~1", "/").replace("~0", "~")
        found = found.get(name) if isinstance(found, Mapping) else None
    return found
