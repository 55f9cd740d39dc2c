"""The host's clock is set, by an hour and by a day, forward and back: the database's clock decides, so nothing changes.

With libfaketime (Debian: `faketime`), whose offset a running process reads again and again, it is a real process whose
clock jumps. Where the library is missing, the same loop runs in this process, with its clocks moved.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from scheduling.clock.loop import Clock
from scheduling.models import Miss, Run, Schedule
from tests.effort import in_torture_also
from tests.factories import ScheduleFactory
from tests.processes import manage
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

LIBRARIES = [
    *Path("/usr/lib").glob("*/faketime/libfaketime.so.1"),
    *Path("/usr/lib/faketime").glob("libfaketime.so.1"),
    *Path("/usr/lib64/faketime").glob("libfaketime.so.1"),
]
JUMPS = in_torture_also(["+3600", "-3600"], ["+86400", "-86400", "+315360000"])

Jump = Callable[[str], None]


@contextmanager
def process_whose_clock_jumps(env: dict[str, str], folder: Path) -> Iterator[tuple[Jump, Callable[[], str]]]:
    """A real clock under libfaketime; its wall clock alone is moved, as by NTP or by hand."""
    offset, log = folder / "offset", folder / "log"
    offset.write_text("+0")
    faked = {
        **env,
        "LD_PRELOAD": str(LIBRARIES[0]),
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }
    with manage("runscheduler", env=faked, log=log) as process:
        wait_until(lambda: "clock.started" in log.read_text(), what="the clock to start")
        yield offset.write_text, log.read_text
        assert process.poll() is None


def due_in(seconds: float) -> Schedule:
    at = datetime.now(UTC) + timedelta(seconds=seconds)
    return ScheduleFactory(
        kind="once", expression=at.isoformat(), next_fire_at=at, accounted_until=at - timedelta(microseconds=1)
    )


def run_of(schedule: Schedule) -> Run | None:
    return Run.objects.filter(schedule=schedule).first()


@pytest.mark.skipif(not LIBRARIES, reason="libfaketime is not here; the test in this process stands in for it")
@pytest.mark.parametrize("jump", JUMPS)
def test_a_process_whose_clock_jumps_fires_the_same_at_the_same_time(
    jump: str, process_env: dict[str, str], tmp_path: Path
) -> None:
    soon_by_its_clock = due_in(1800)
    # Nothing before its mark, which the auditor would tell: a boundary of its interval may pass in this test.
    much_later = ScheduleFactory(
        kind="interval",
        expression="PT10M",
        starts_at=datetime.now(UTC).replace(tzinfo=None) + timedelta(hours=3),
        next_fire_at=datetime.now(UTC) + timedelta(hours=3),
    )

    with process_whose_clock_jumps(process_env, tmp_path) as (set_clock, log):
        before = due_in(0.5)
        wait_until(lambda: run_of(before), what="a run before the jump")
        set_clock(jump)
        wait_until(lambda: "clock.wall_clock_jumped" in log(), what="the clock to notice")
        after = due_in(1.0)
        run = wait_until(lambda: run_of(after), what="a run after the jump")
        wait_until(lambda: "clock.skew" in log(), what="the warning of the skew")
        set_clock("+0")
        wait_until(lambda: log().count("clock.wall_clock_jumped") == 2, what="the clock to notice")
        back = due_in(0.5)
        wait_until(lambda: run_of(back), what="a run after the clock was set right")

    assert after.next_fire_at is not None
    assert timedelta(0) <= run.created_at - after.next_fire_at < timedelta(seconds=1)
    assert run_of(soon_by_its_clock) is None
    assert run_of(much_later) is None
    assert Run.objects.count() == 3
    assert not Miss.objects.exists()


@pytest.mark.parametrize("seconds", [3600, -3600, 86_400, -86_400])
def test_the_loop_is_not_moved_by_the_wall_clock(seconds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    jumps: list[int] = []
    clock = Clock(on_jump_back=lambda: jumps.append(seconds))
    due, later = due_in(0), due_in(1800)
    clock.run_once()
    moved = time.time() + seconds
    monkeypatch.setattr("scheduling.clock.loop.time.time", lambda: moved)
    second = due_in(0)

    clock.run_once()

    assert (run_of(due) is None, run_of(second) is None, run_of(later) is None) == (False, False, True)
    assert jumps == ([seconds] if seconds < 0 else [])
    assert clock.readiness.is_ready
    assert not Miss.objects.exists()


def test_a_wall_clock_that_is_wrong_is_measured_and_warned_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Wrong(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + timedelta(hours=1)

    monkeypatch.setattr("scheduling.clock.loop.datetime", Wrong)
    clock = Clock()

    clock.run_once()

    skew = clock.readiness.answer()[1]["skew_seconds"]
    assert 3599 < skew < 3601
    assert "clock.skew" in caplog.text
