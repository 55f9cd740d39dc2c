"""Keys of starts: what they are made of, and that long ones stay apart."""

from uuid import UUID

import pytest

from scheduling.errors import NotValid
from scheduling.runs.keys import concurrency_key, rendered

AGENT = UUID("01a21e58-05fd-7017-908e-1cbc8c1d26a1")
URL = "https://example.com/" + "a" * 400


def test_a_key_that_fits_stands_as_it_is() -> None:
    assert rendered("order-${params.n}", {"n": 7}) == "order-7"
    assert rendered("x" * 300, {}) == "x" * 300
    assert concurrency_key(AGENT, "door", {}) == f"{AGENT}:door"


@pytest.mark.parametrize("make", [rendered, lambda template, params: concurrency_key(AGENT, template, params)])
def test_long_keys_that_differ_at_their_end_are_two(make) -> None:
    first, second = (make("${params.url}", {"url": URL + end}) for end in "12")

    assert first != second
    assert len(first) == len(second) == 300
    assert make("${params.url}", {"url": URL + "1"}) == first


@pytest.mark.parametrize("value", [None, [1], {"a": 1}])
def test_what_is_no_text_is_no_key(value) -> None:
    with pytest.raises(NotValid):
        rendered("${params.n}", {"n": value})
