"""A bound of a value's size as JSON, told without encoding it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.tools.result_size import is_surely_larger

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(JSON)
def test_what_fits_is_never_called_too_large(value: object):
    size = len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass"))

    assert not is_surely_larger(value, size)


@pytest.mark.parametrize(
    "value",
    ["x" * 1000, ["x" * 100] * 10, [0] * 501, {"x" * 1000: 1}, {str(n): n for n in range(200)}, [[["x" * 1000]]]],
    ids=["text", "list", "numbers", "name", "members", "nested"],
)
def test_what_is_larger_is_told(value: object):
    assert is_surely_larger(value, 1000)


def test_what_contains_itself_is_left_to_the_encoder_or_counted_until_it_is_too_large():
    once: list[object] = []
    once.append(once)
    twice: list[object] = []
    twice += [twice, twice]

    assert not is_surely_larger(once, 10_000)
    assert is_surely_larger(twice, 10_000)
