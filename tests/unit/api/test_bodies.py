"""Bodies are read within limits, whatever is in them."""

import io

import pytest

from scheduling.api.bodies import BODY_LIMIT, BodyTooLarge, StrictJSONParser, TooDeep, is_deeper_than


def nested(levels: int) -> bytes:
    return b"[" * levels + b"]" * levels


@pytest.mark.parametrize(("levels", "is_refused"), [(63, False), (64, False), (65, True), (1000, True), (1100, True)])
def test_depth_is_limited_exactly(levels, is_refused):
    parser = StrictJSONParser()

    if is_refused:
        with pytest.raises(TooDeep):
            parser.parse(io.BytesIO(nested(levels)))
    else:
        parser.parse(io.BytesIO(nested(levels)))


def test_brackets_in_strings_are_no_depth():
    parser = StrictJSONParser()

    assert parser.parse(io.BytesIO(b'{"a": "' + b"[" * 2000 + b'\\"[{"}')) == {"a": "[" * 2000 + '"[{'}
    with pytest.raises(Exception, match="no JSON") as refused:
        parser.parse(io.BytesIO(b'{"a": "' + b"[" * 2000 + b'\\"[{"'))
    assert not isinstance(refused.value, TooDeep)


def test_size_is_limited_by_counting():
    parser = StrictJSONParser()
    largest = b'"' + b"a" * (BODY_LIMIT - 2) + b'"'

    assert len(parser.parse(io.BytesIO(largest))) == BODY_LIMIT - 2
    with pytest.raises(BodyTooLarge):
        parser.parse(io.BytesIO(largest + b" "))


def test_depth_counts_containers_only():
    assert not is_deeper_than([[1]], 2)
    assert is_deeper_than([[[1]]], 2)
    assert is_deeper_than({"a": {"b": {"c": {}}}}, 3)
