"""What departures from a JSON Schema are told as."""

import pytest

from pipelines.document.schemas import Breach, compile_schema

NAMED = {"type": "object", "properties": {"weather": {}}, "additionalProperties": False}


@pytest.mark.parametrize(
    ("choices", "value", "told"),
    [
        pytest.param(
            [{"required": ["text"]}, {"required": ["html"]}],
            {},
            [Breach((), "required", "one of the fields 'text', 'html' is required")],
            id="one of two fields",
        ),
        pytest.param(
            [{"required": ["a"]}, {"required": ["b", "c"]}],
            {"b": 1},
            [Breach((), "required", "one of the fields 'a', 'c' is required")],
            id="what is missing yet",
        ),
        pytest.param(
            [{"type": "string"}, NAMED],
            {"wether": 1},
            [
                Breach(
                    ("wether",),
                    "additionalProperties",
                    "the field 'wether' is not known here",
                    "did you mean 'weather'?",
                )
            ],
            id="the choice for this type",
        ),
        pytest.param(
            [{"enum": ["a", "b"]}, {"type": "array"}],
            "x",
            [Breach((), "enum", '"x" is not one of "a" or "b"')],
            id="words or a list",
        ),
        pytest.param(
            [{"type": "string"}, {"type": "integer"}],
            None,
            [
                Breach(
                    (),
                    "anyOf",
                    'none of the choices fits: null is not of type "string"; null is not of type "integer"',
                )
            ],
            id="no choice is for this type",
        ),
    ],
)
@pytest.mark.parametrize("keyword", ["anyOf", "oneOf"])
def test_a_choice_tells_what_its_branches_lack(keyword, choices, value, told):
    told = [
        Breach(each.path, keyword if each.keyword == "anyOf" else each.keyword, each.detail, each.hint) for each in told
    ]

    assert list(compile_schema({keyword: choices}).breaches(value)) == told
