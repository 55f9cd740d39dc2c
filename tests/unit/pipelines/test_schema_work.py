"""A schema against which a check may never end is refused, or its value is; what is harmless is let be."""

import time

import pytest

from pipelines.document.schema_work import MOST_WORK, Meter, TooMuchWork
from pipelines.document.schemas import Schema, SchemaRefused
from pipelines.tools.json_schema import check_schema, first_breach

TREE = {"type": "object", "properties": {"inside": {"type": "array", "items": {"$ref": "#"}}}}
ANY_JSON = {
    "$defs": {
        "value": {
            "anyOf": [
                {"type": ["string", "integer", "null"]},
                {"type": "array", "items": {"$ref": "#/$defs/value"}},
                {"type": "object", "additionalProperties": {"$ref": "#/$defs/value"}},
            ]
        }
    },
    "$ref": "#/$defs/value",
}
TWICE_INSIDE = {"properties": {"x": {"allOf": [{"$ref": "#"}, {"$ref": "#"}]}}}


def doubling(times, **last):
    """Each definition names the next one twice."""
    definitions = {f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(times)}
    return {"$defs": {**definitions, f"a{times}": last or {"type": "object"}}, "$ref": "#/$defs/a0"}


def chain(links):
    return {
        "$defs": {f"a{n}": {"$ref": f"#/$defs/a{n + 1}"} for n in range(links)} | {f"a{links}": {}},
        "$ref": "#/$defs/a0",
    }


def nested(depth):
    value: dict[str, object] = {}
    for _ in range(depth):
        value = {"x": value}
    return value


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        (doubling(40), "more than 10000 parts"),
        (doubling(40, items={}), "more than 10000 parts"),
        ({"items": doubling(40)["$defs"]["a0"], "$defs": doubling(40)["$defs"]}, "more than 10000 parts"),
        ({"$ref": "#"}, "refers to itself"),
        (
            {"$defs": {"a": {"not": {"$ref": "#b"}}, "b": {"$anchor": "b", "if": {"$ref": "#/$defs/a"}}}, "$ref": "#b"},
            "itself",
        ),
        (chain(500), "more than 200"),
    ],
    ids=["doubling", "with-items", "inside", "circle", "circle-by-anchor", "chain"],
)
def test_what_can_never_be_checked_is_refused(schema, words):
    began = time.process_time()
    with pytest.raises(SchemaRefused, match=words):
        Schema(schema)
    with pytest.raises(ValueError, match=words):
        check_schema(schema)

    assert time.process_time() - began < 1


def test_where_the_value_decides_it_is_measured_first():
    schema = Schema(TWICE_INSIDE)

    assert schema.fits(nested(10))
    assert not schema.fits(nested(60))
    [breach] = schema.breaches(nested(60))
    assert breach.path == ()
    assert "would take too long" in breach.detail
    assert first_breach(TWICE_INSIDE, nested(10)) is None
    assert "would take too long" in first_breach(TWICE_INSIDE, nested(60)).message


def test_many_parts_and_a_large_value_are_measured_together():
    schema = Schema({"items": {"anyOf": [{"const": number} for number in range(9000)]}})

    assert schema.fits([1] * 3000)
    assert not schema.fits([-1, *range(20_000)])
    assert [breach.keyword for breach in schema.breaches([[]] * 20_000)] == ["$ref"]


@pytest.mark.parametrize("schema", [TREE, ANY_JSON], ids=["tree", "any-json"])
@pytest.mark.parametrize("value", [{}, {"inside": [{"inside": [{}] * 20}] * 100}], ids=["nothing", "much"])
def test_a_schema_of_trees_is_harmless(schema, value):
    assert Schema(schema).fits(value)


def test_a_large_plain_value_is_harmless():
    assert Schema({"additionalProperties": {"type": "integer"}}).fits({str(n): n for n in range(300_000)})


def test_references_are_followed_as_the_standard_says():
    schema = {
        "$id": "https://example.org/whole",
        "$defs": {
            "own": {"$id": "part", "$defs": {"x": {"type": "integer"}}, "$ref": "#/$defs/x"},
            "a/b": {"type": "string"},
            "named": {"$anchor": "named", "type": "boolean"},
        },
        "prefixItems": [
            {"$ref": "part"},
            {"$ref": "#/$defs/a~1b"},
            {"$ref": "#named"},
            {"$ref": "https://example.org/part#/$defs/x"},
            {"$ref": "https://json-schema.org/draft/2020-12/schema"},
        ],
    }

    assert Schema(schema).fits([1, "a", True, 2, {}])
    assert not Schema(schema).fits(["a"])
    assert Meter(schema).parts == 11


@pytest.mark.parametrize("reference", ["#/$defs/nothing", "#nothing", "https://example.org/elsewhere", "other"])
def test_a_reference_that_leads_nowhere_is_refused(reference):
    with pytest.raises(SchemaRefused):
        Schema({"properties": {"x": {"$ref": reference}}})
    with pytest.raises(TooMuchWork, match="leads"):
        Meter({"properties": {"x": {"$ref": reference}}})


def test_the_measure_counts_each_look():
    meter = Meter({"items": {"allOf": [True, {"type": "integer"}]}})

    assert meter.parts == 3
    meter.require_bearable([0] * (MOST_WORK // 3 // 100))
