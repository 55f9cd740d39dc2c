"""What is known of an expression's result before it is evaluated."""

import pytest

from pipelines.expressions import compile_expression
from pipelines.expressions.functions import STANDARD
from pipelines.expressions.results import NO_TEXT


@pytest.mark.parametrize(
    ("text", "longest"),
    [
        ("a.b", None),
        ("@", None),
        ("'abc'", 3),
        ("`5`", NO_TEXT),
        ("a == b", NO_TEXT),
        ("!a", NO_TEXT),
        ("a[1:2]", NO_TEXT),
        ("a[]", NO_TEXT),
        ("a.b.*", NO_TEXT),
        ("a[?b].c", NO_TEXT),
        ("a[?b].c | [0]", None),
        ("a && 'abc'", 3),
        ("'abc' && a", None),
        ("a || 'abc'", None),
        ("'ab' || 'abc'", 3),
        ("a | 'abc'", 3),
        ("if_else('a long condition', 'ab', length(a))", 2),
        ("if_else(a, 'ab', b)", None),
        ("default(a, 'ab')", None),
        ("coalesce('ab', 'abcd')", 4),
        ("substring(a, 3, 7)", 4),
        ("substring(a, -7)", 7),
        ("substring(a, -7, -2)", 5),
        ("substring(a, 7, 3)", 0),
        ("substring(a, 3)", None),
        ("substring(a, 3, -2)", None),
        ("substring(a, b, 7)", None),
        ("contains(a, 'b')", NO_TEXT),
        ("sha256(a)", None),
    ],
)
def test_the_longest_text_that_an_expression_can_give(text: str, longest: int | None):
    assert compile_expression(text).longest_text == longest


def test_no_example_of_a_function_gives_more_than_is_said():
    for known in STANDARD.values():
        for text, result in known.examples:
            longest = compile_expression(text).longest_text
            assert longest is None or (len(result) if isinstance(result, str) else NO_TEXT) <= longest, text
