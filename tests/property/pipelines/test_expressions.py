"""Laws of expressions: strict mode agrees with the jmespath library, and no text escapes its bounds."""

import time
import warnings
from contextlib import suppress

import jmespath
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jmespath.exceptions import JMESPathError

from pipelines.expressions import ExpressionError, compile_expression, compile_template
from tests.effort import examples

NAMES = st.sampled_from(["a", "b", "c", '"a b"'])
LITERALS = st.sampled_from(["`1`", "`0`", "`true`", "`null`", "`[]`", '`{"a": 1}`', "'a'", '`"b"`', "`1.5`"])
DATA = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "a", "b"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "c", "a b"]), inner, max_size=3)
    ),
    max_leaves=12,
)


def grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.builds("{}.{}".format, inner, NAMES),
        st.builds("{}[{}]".format, inner, st.integers(-2, 2)),
        st.builds("{}[{}:{}]".format, inner, st.integers(-2, 2), st.sampled_from(["", "1", "-1"])),
        st.builds("{}[*].{}".format, inner, NAMES),
        st.builds("{}[]".format, inner),
        st.builds("{}.*".format, inner),
        st.builds("{}[?{}]".format, inner, inner),
        st.builds("({} {} {})".format, inner, st.sampled_from(["==", "!=", "<", ">=", "&&", "||", "|"]), inner),
        st.builds("!{}".format, inner),
        st.builds("[{}, {}]".format, inner, inner),
        st.builds("{{x: {}, y: {}}}".format, inner, inner),
        st.builds("{}({})".format, st.sampled_from(["length", "keys", "type", "to_array", "sort", "reverse"]), inner),
        st.builds("map(&{}, {})".format, inner, inner),
    )


EXPRESSIONS = st.recursive(NAMES | LITERALS | st.just("@"), grown, max_leaves=6)


def normal(value):
    """Both sides with booleans told from numbers, which Python's own equality does not."""
    if isinstance(value, bool):
        return ("boolean", value)
    if isinstance(value, list):
        return [normal(item) for item in value]
    if isinstance(value, dict):
        return {key: normal(item) for key, item in value.items()}
    return value


def by_library(expression: str, data) -> tuple[str, object]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return "value", normal(jmespath.search(expression, data))
    except (JMESPathError, ValueError, TypeError):
        return "error", None


def by_us(expression: str, data) -> tuple[str, object]:
    try:
        return "value", normal(compile_expression(expression, strict=True).evaluate(data))
    except ExpressionError as error:
        # Every error of strict mode has a name in the specification.
        return ("error", None) if error.specification_name else ("error", error.code)


def differs_by_intent(expression: str) -> bool:
    """The library orders strings and holds [0] equal to [false]; the specification does neither."""
    return any(sign in expression for sign in ("<", ">", "==", "!="))


@settings(deadline=None, max_examples=examples(400))
@given(expression=EXPRESSIONS, data=DATA)
@example(expression="sort(a)", data={"a": [1, "a"]})
def test_strict_mode_agrees_with_the_library(expression, data):
    if differs_by_intent(expression):
        by_us(expression, data)
    else:
        assert by_us(expression, data) == by_library(expression, data)


@settings(deadline=None, max_examples=examples(300))
@given(expression=EXPRESSIONS, data=DATA)
@example(expression="a[?length(`1`)]", data=None)
def test_relaxed_mode_understands_all_of_strict_mode(expression, data):
    strict = by_us(expression, data)
    if strict[0] != "value" or any(sign in expression for sign in "<>"):
        return
    try:
        compiled = compile_expression(expression)
    except ExpressionError as error:
        # A call that fails whatever the data, in a place that this data does not reach.
        if error.code != "bad_argument":
            raise
    else:
        assert normal(compiled.evaluate(data)) == strict[1]


@settings(deadline=None, max_examples=examples(400))
@given(text=st.text(alphabet="ab.*[]{}()|&!<>=,:'`\"\\@?-10 $e", max_size=60))
def test_no_text_does_anything_but_evaluate_or_raise_our_error(text):
    started = time.process_time()

    with suppress(ExpressionError):
        compile_expression(text).evaluate({"a": [1, "b", {"a": None}]})
    with suppress(ExpressionError):
        compile_template(text).render({"a": [1, "b", {"a": None}]})

    assert time.process_time() - started < 0.5
