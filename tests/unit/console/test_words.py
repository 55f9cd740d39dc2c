"""Durations and instants in words."""

from datetime import UTC, datetime, timedelta

import pytest

from scheduling.console.words import duration, local_moment, moment, since, size

NOW = datetime(2026, 3, 29, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "–"),  # noqa: RUF001
        (0, "0 ms"),
        (0.0004, "0 ms"),
        (0.84, "840 ms"),
        (0.9996, "1.0 s"),
        (12.34, "12.3 s"),
        (59.9, "59.9 s"),
        (60, "1 min"),
        (245, "4 min 5 s"),
        (3600, "1 h"),
        (3661, "1 h 1 min"),
        (3 * 86_400 + 2 * 3600, "3 d 2 h"),
        (-245, "-4 min 5 s"),
    ],
)
def test_a_duration_is_told_in_its_two_greatest_units(seconds, words):
    assert duration(seconds) == words
    if seconds is not None:
        assert duration(timedelta(seconds=seconds)) == words


def test_an_instant_is_told_from_now():
    assert since(NOW - timedelta(seconds=245), now=NOW) == "4 min 5 s ago"
    assert since(NOW + timedelta(hours=3), now=NOW) == "in 3 h"


def test_a_local_instant_carries_its_zone_and_seconds_only_where_there_are_some():
    assert local_moment(NOW, "Europe/Paris") == "Sun 2026-03-29 14:00 (Europe/Paris)"
    assert local_moment(NOW + timedelta(seconds=5), "UTC") == "Sun 2026-03-29 12:00:05 (UTC)"


def test_an_unknown_zone_is_shown_in_utc_and_says_so():
    assert local_moment(NOW, "Mars/Olympus") == "Sun 2026-03-29 12:00 (UTC)"


def test_nothing_is_a_dash():
    assert {moment(None), local_moment(None, "UTC"), since(None, now=NOW)} == {"–"}  # noqa: RUF001


def test_sizes_have_units():
    assert [size(count) for count in (812, 14_200, 2_100_000)] == ["812 bytes", "14 KB", "2.1 MB"]
