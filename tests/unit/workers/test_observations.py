"""When a reaper may believe that a process is dead. Times are seconds of boot time."""

import uuid
from datetime import timedelta

from workers.reaper import Observations

WORKER = uuid.uuid4()


def observations():
    return Observations(reap_after=timedelta(seconds=15), max_gap=timedelta(seconds=3))


def look_every_second(seen, beats, *, start=0):
    """The first second at which the process was found to stand still; None where it never was."""
    for second, beat in enumerate(beats, start=start):
        if seen.look([(WORKER, beat)], now=float(second)):
            return second
    return None


def test_a_beat_that_moves_keeps_the_process_alive():
    assert look_every_second(observations(), range(100)) is None


def test_a_beat_that_stands_still_for_the_whole_time_is_death():
    assert look_every_second(observations(), [7] * 30) == 15


def test_one_beat_starts_the_time_anew():
    assert look_every_second(observations(), [7] * 14 + [8] * 30) == 29


def test_a_reaper_that_was_away_itself_starts_anew():
    seen = observations()
    look_every_second(seen, [7] * 10)

    assert seen.look([(WORKER, 7)], now=3600.0) == []
    assert look_every_second(seen, [7] * 30, start=3601) == 3615


def test_what_was_seen_before_a_lost_connection_counts_for_nothing():
    seen = observations()
    look_every_second(seen, [7] * 14)

    seen.forget()

    assert look_every_second(seen, [7] * 30, start=14) == 29


def test_a_process_that_left_the_table_is_forgotten():
    seen = observations()
    look_every_second(seen, [7] * 14)
    seen.look([], now=14.0)

    assert seen.look([(WORKER, 7)], now=15.0) == []
