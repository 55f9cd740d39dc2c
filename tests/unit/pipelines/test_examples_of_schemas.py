"""What a simulation makes up for a schema: small, whatever the schema asks for."""

import time

import orjson
import pytest

from pipelines.engine.examples import smallest_instance

MANY = [f"k{number}" for number in range(60)]
FORM = {
    "$defs": {"x": {"type": "object", "required": MANY, "properties": {name: {"$ref": "#/$defs/x"} for name in MANY}}},
    "$ref": "#/$defs/x",
}


@pytest.mark.parametrize(
    "schema",
    [
        FORM,
        {"type": "string", "minLength": 3_000_000_000},
        {"type": "array", "minItems": 3_000_000_000, "items": {"type": "null"}},
        {"type": "array", "minItems": 900, "items": {"type": "array", "minItems": 900, "items": {"minLength": 900}}},
        {"required": MANY, "properties": {name: {"type": "string", "minLength": 9_000} for name in MANY}},
    ],
    ids=["doubling", "text", "items", "items-of-items", "texts"],
)
def test_it_is_made_at_once_and_is_small(schema):
    began = time.process_time()

    made = smallest_instance(schema)

    assert time.process_time() - began < 0.5
    assert len(orjson.dumps(made)) < 50_000


def test_what_is_small_is_made_whole():
    schema = {
        "required": ["a", "b", "c", "d"],
        "properties": {
            "a": {"type": "string", "minLength": 3},
            "b": {"type": "array", "minItems": 2, "items": {"type": "integer", "minimum": 7}},
            "c": {"$ref": "#/$defs/c"},
            "d": {"type": "string", "format": "date"},
        },
        "$defs": {"c": {"enum": ["one", "two"]}},
    }

    assert smallest_instance(schema) == {"a": "xxx", "b": [7, 7], "c": "one", "d": "2025-01-01"}
