"""Errors of tools: whatever their fields hold, they can be journaled and sent."""

import math

import pytest
from django.utils.safestring import mark_safe
from hypothesis import given, settings
from hypothesis import strategies as st

from ordinaut_project.logging import _json_line
from pipelines.errors import ErrorClass, PipelineError
from pipelines.secrets.redaction import Redaction
from pipelines.tools import frames, tool_errors
from pipelines.tools.storable_errors import LONGEST_DETAIL, storable_error
from workers.encoding import encode

texts = st.text(st.characters()) | st.sampled_from(["\0", "\ud800", "x" * 20_000])
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts | st.binary() | st.just({1}),
    lambda inner: st.lists(inner) | st.dictionaries(texts | st.integers(), inner),
    max_leaves=8,
)


@settings(deadline=None)
@given(anything, anything, anything, anything, anything, anything, anything)
def test_every_error_can_be_stored_and_crosses_the_pipe_unchanged(code, kind, detail, step, pointer, seconds, cause):
    error = storable_error(
        PipelineError(code, kind, detail, step=step, pointer=pointer, retry_after=seconds, cause=cause)
    )

    encode(error.as_dict())
    crossed = tool_errors.from_fields(frames._decode(frames.encode(tool_errors.as_fields(error))[4:]))
    assert tool_errors.as_fields(crossed) == tool_errors.as_fields(error)
    assert (error.asked_wait, len(error.detail) <= LONGEST_DETAIL + 1) == (crossed.asked_wait, True)


def test_what_can_be_stored_stays_as_it_is():
    given = PipelineError(
        "busy", ErrorClass.TIMEOUT, "grüß \U0001f600\n", step="a", attempt=2, pointer="/with", cause={"a": [1, None]}
    )

    assert storable_error(given).as_dict() == given.as_dict()


def test_a_subclass_of_text_becomes_text():
    assert type(storable_error(PipelineError("a", ErrorClass.LIMIT, mark_safe("b"))).detail) is str


@pytest.mark.parametrize(("seconds", "kept"), [(3, 3), (math.inf, 366 * 86_400), ("3", None), (True, None)])
def test_a_wait_that_is_asked_for_is_a_number(seconds, kept):
    assert storable_error(PipelineError("a", ErrorClass.LIMIT, "b", retry_after=seconds)).retry_after == kept


@pytest.mark.parametrize("cause", [{"a": "x" * 40_000}, {"a": {1, 2}}, {"a": 2**70}, [1]])
def test_an_error_counts_without_a_cause_that_is_too_large_or_no_object_of_json(cause):
    error = storable_error(PipelineError("busy", ErrorClass.TRANSIENT, "b", cause=cause))

    assert (error.code, error.error_class, error.cause) == ("busy", ErrorClass.TRANSIENT, None)


def test_so_does_one_with_a_cause_that_goes_round_in_a_circle():
    circle: dict[str, object] = {}
    circle["a"] = circle

    assert storable_error(PipelineError("busy", ErrorClass.TRANSIENT, "b", cause=circle)).cause is None


def test_secrets_are_taken_out_before_a_text_is_cut():
    with Redaction({"key": "0123456789"}).active():
        error = storable_error(PipelineError("busy", ErrorClass.TRANSIENT, "x" * (LONGEST_DETAIL - 5) + "0123456789"))

    assert error.detail == "x" * (LONGEST_DETAIL - 5) + "[secr…"


def test_a_line_of_the_log_is_written_whatever_is_in_it():
    assert _json_line({"event": "a\ud800", "n": [{1: "\udfff"}]}) == '{"event":"a\ufffd","n":[{"1":"\ufffd"}]}'
