"""What the strict fields take and refuse, and how refusals find their place."""

from datetime import timedelta

import pytest
from rest_framework import serializers

from scheduling.definitions.durations import duration_text, parse_duration
from scheduling.definitions.fields import Duration, Instant, Number, Text
from scheduling.definitions.json_values import problems_of
from scheduling.definitions.strict import StrictSerializer, parse
from scheduling.errors import NotValid


class Inner(StrictSerializer):
    size = Number()


class Outer(StrictSerializer):
    name = Text(max_length=5)
    inner = Inner(required=False)
    items = serializers.ListField(child=Inner(), required=False)
    at = Instant(required=False)
    span = Duration(required=False)


def problems(given):
    with pytest.raises(NotValid) as refused:
        parse(Outer, given)
    return {problem.pointer: problem.code for problem in refused.value.problems}


def test_problems_of_every_depth_come_together():
    assert problems({"inner": {"size": "1", "siez": 1}, "items": [{"size": 1}, {"size": None}], "nmae": ""}) == {
        "/name": "required",
        "/nmae": "unknown_field",
        "/inner/size": "wrong_type",
        "/inner/siez": "unknown_field",
        "/items/1/size": "null_not_allowed",
    }


def test_what_is_no_object_is_refused_as_a_whole():
    assert problems([]) == {"": "not_an_object"}
    assert problems({"name": "a", "inner": "b"}) == {"/inner": "not_an_object"}


@pytest.mark.parametrize(
    "text", ["2026-01-01T00:00:00", "2026-01-01", "10", "2026-13-01T00:00:00Z", "1800-01-01T00:00:00Z"]
)
def test_an_instant_has_its_offset(text):
    assert set(problems({"name": "a", "at": text})) == {"/at"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("PT0S", timedelta(0)),
        ("PT30M", timedelta(minutes=30)),
        ("P1DT12H", timedelta(days=1, hours=12)),
        ("P2W", timedelta(weeks=2)),
        ("PT0.25S", timedelta(milliseconds=250)),
    ],
)
def test_durations_are_read(text, value):
    assert parse_duration(text) == value


@pytest.mark.parametrize(
    "text", ["", "P", "PT", "30", "P1Y", "P1M", "PT1H1H", "pt5s", "P1DT", "PT5", "PT1.5M", " PT5S", "-PT5S"]
)
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(ValueError, match="no ISO 8601 duration"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["PT0S", "PT30M", "P1DT12H", "P14D", "PT0.25S", "PT1H1M1S", "P1D"])
def test_durations_are_written_as_they_are_read(text):
    assert duration_text(parse_duration(text)) == text


def test_values_that_cannot_be_kept_are_found_wherever_they_are():
    value = {"a": ["ok", "b\x00"], "c/d": {"e": 2**60}, "f": float("nan"), "g": "\ud800", "h": b"x"}

    assert {problem.pointer: problem.code for problem in problems_of(value)} == {
        "/a/1": "nul_character",
        "/c~1d/e": "integer_too_large",
        "/f": "not_a_number",
        "/g": "lone_surrogate",
        "/h": "not_json",
    }


def test_a_thousand_faults_are_twenty_problems():
    assert len(problems_of(["\x00"] * 1000)) == 20


def test_depth_exhausts_nothing():
    value: list[object] = []
    for _ in range(100_000):
        value = [value]

    (problem,) = problems_of(value)

    assert problem.code == "too_deep"
