"""The library of functions: every example in it holds, and the edges that examples do not show."""

import tracemalloc
from pathlib import Path

import pytest

from pipelines.expressions import ExpressionError, compile_expression
from pipelines.expressions.functions import STANDARD
from pipelines.expressions.functions.reference import render_reference

EXAMPLES = [
    pytest.param(*example, id=f"{known.name}-{index}")
    for known in STANDARD.values()
    for index, example in enumerate(known.examples)
]
JMESPATH = [
    "abs",
    "avg",
    "contains",
    "ceil",
    "ends_with",
    "floor",
    "join",
    "keys",
    "length",
    "map",
    "max",
    "max_by",
    "merge",
    "min",
    "min_by",
    "not_null",
    "reverse",
    "sort",
    "sort_by",
    "starts_with",
    "sum",
    "to_array",
    "to_string",
    "to_number",
    "type",
    "values",
]
OURS = [
    "add",
    "sub",
    "mul",
    "div",
    "mod",
    "round",
    "min2",
    "max2",
    "default",
    "if_else",
    "coalesce",
    "upper",
    "lower",
    "trim",
    "split",
    "replace",
    "substring",
    "pad",
    "format_number",
    "date_add",
    "date_sub",
    "date_diff",
    "format_date",
    "parse_date",
    "to_zone",
    "start_of",
    "from_json",
    "to_json",
    "sha256",
    "base64_encode",
    "base64_decode",
    "url_encode",
    "regex_match",
    "regex_extract",
    "regex_replace",
    "take",
    "skip",
    "unique",
    "group_by",
    "zip",
    "range",
    "sum_by",
    "index_by",
]


def test_the_library_is_closed():
    assert sorted(STANDARD) == sorted(JMESPATH + OURS)
    assert sorted(name for name, known in STANDARD.items() if known.is_standard) == sorted(JMESPATH)


@pytest.mark.parametrize("name", STANDARD)
def test_every_function_is_documented_by_words_and_an_example(name):
    assert STANDARD[name].description
    assert STANDARD[name].examples


@pytest.mark.parametrize(("expression", "value"), EXAMPLES)
def test_examples_hold(expression, value):
    found = compile_expression(expression).evaluate({})

    assert found == value
    assert isinstance(found, bool) is isinstance(value, bool)


@pytest.mark.parametrize("name", OURS)
def test_our_own_functions_are_unknown_in_strict_mode(name):
    with pytest.raises(ExpressionError) as caught:
        compile_expression(f"{name}(a)", strict=True)

    assert caught.value.specification_name == "unknown-function"


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("div(6, 3)", "2"),
        ("add(0.1, 0.2)", "0.30000000000000004"),
        ("round(0.5)", "1"),
        ("round(-0.4)", "0"),
        ("round(1234.5678, 15)", "1234.5678"),
        ("mod(7.5, 2)", "1.5"),
        ("format_number(-1234567.891, 2)", "-1,234,567.89"),
        ("format_number(0.005, 2)", "0.01"),
        ("ceil(1e300)", "1e+300"),
        ("sum(`[]`)", "0"),
        ("date_add('2024-02-29', 'P1Y')", "2025-02-28T00:00:00Z"),
        ("date_add('2025-03-30T01:30:00+01:00', 'PT1H', 'Europe/Berlin')", "2025-03-30T03:30:00+02:00"),
        ("date_add('2025-03-29T02:30:00+01:00', 'P1D', 'Europe/Berlin')", "2025-03-30T03:30:00+02:00"),
        ("date_add('2025-01-01T00:00:00Z', '-PT1S')", "2024-12-31T23:59:59Z"),
        ("start_of('2025-03-30T10:00:00Z', 'day', 'Europe/Chisinau')", "2025-03-30T00:00:00+02:00"),
        ("start_of('2025-05-15T10:00:00Z', 'year')", "2025-01-01T00:00:00Z"),
        ("start_of('2025-05-15T10:31:12Z', 'hour')", "2025-05-15T10:00:00Z"),
        ("parse_date('2025-01-06T08:30:00+02:00')", "2025-01-06T06:30:00Z"),
        ("format_date('2025-01-06T13:05:09Z', '%I:%M %p %j %V %u %% %b %Z')", "01:05 PM 006 02 1 % Jan UTC"),
        ("url_encode('/?=&')", "%2F%3F%3D%26"),
        ("join(',', unique(['a', 'b', 'a']))", "a,b"),
        ("to_json(unique([1, `1.0`, true, 1]))", "[1,true]"),
        ("to_json(group_by([{k: 1}, {k: true}, {k: 1}], &k))", '{"1":[{"k":1},{"k":1}],"true":[{"k":true}]}'),
        ("to_json(split('a', ','))", '["a"]'),
        ("regex_replace('a.b', '\\.', '\\\\')", "a\\b"),
    ],
)
def test_edges(expression, text):
    from pipelines.expressions.values import to_text

    assert to_text(compile_expression(expression).evaluate({})) == text


@pytest.mark.parametrize(
    "expression",
    [
        "mod(1, 0)",
        "round(1, 16)",
        "round(1, 0.5)",
        "min2(1, 'a')",
        "max2(true, 1)",
        "split('a', '')",
        "replace('a', '', 'b')",
        "pad('a', 3, 'ab')",
        "pad('a', 3, ' ', 'middle')",
        "substring('abc', 0.5)",
        "take([1], -1)",
        "range(1, 2, 0)",
        "range(0.5)",
        "index_by([{a: []}], &a)",
        "date_add('yesterday', 'P1D')",
        "date_add('2025-01-01', '1 day')",
        "date_add('9999-12-31', 'P1Y')",
        "date_sub('0001-01-01', 'P1D')",
        "date_diff('2025-01-01', '2025-01-01', 'months')",
        "to_zone('2025-01-01', 'Mars/Olympus')",
        "to_zone('2025-01-01', '../etc/passwd')",
        "format_date('2025-01-01', '%10000000d')",
        "format_date('2025-01-01', '%')",
        "parse_date('tomorrow', '%Y')",
        "start_of('2025-01-01', 'decade')",
        "from_json('{')",
        "from_json('[NaN]')",
        "base64_decode('*')",
        "base64_decode('/w==')",
        "regex_extract('a', '(a)', 2)",
        "regex_replace('a', 'a', '\\1')",
        "regex_match('a', '(?=a)')",
        "sort([1, 'a'])",
        "sort_by([{a: 1}, {a: 'x'}], &a)",
        "max([true])",
        "join(',', [1])",
    ],
)
def test_arguments_that_a_function_cannot_take(expression):
    with pytest.raises(ExpressionError) as caught:
        compile_expression(expression).evaluate({})

    assert caught.value.code == "bad_argument"
    assert caught.value.specification_name in {"invalid-type", "invalid-value"}


def test_the_reference_page_is_what_the_registry_says():
    """Write it anew with `python -m pipelines.expressions.functions.reference > docs/reference/functions.md`."""
    page = Path(__file__).parents[3] / "docs" / "reference" / "functions.md"

    assert page.read_text() == render_reference()


def test_unique_keeps_no_more_than_its_items_need():
    """Each key had kept the room that the encoder had written in: 4 kB for an item of four bytes."""
    expression = compile_expression("unique(map(&[@], range(`0`, `9000`)))")
    expression.evaluate({})
    tracemalloc.start()
    try:
        assert len(expression.evaluate({})) == 9000
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 6 << 20
