"""A clock that cannot pass says so, whatever holds it up, and is ready again by itself."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from django.db import connection, connections

from scheduling.models import Run
from tests.counterparts import free_port
from tests.factories import ScheduleFactory
from tests.processes import manage
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

NAME = "watched clock"


@dataclass
class WatchedClock:
    process: subprocess.Popen[bytes]
    probe: str
    log: Path

    def answer(self, status: int) -> dict[str, Any] | None:
        """The body where the probe answers with that status."""
        try:
            got = httpx2.get(f"{self.probe}/readyz", timeout=5)
        except httpx2.TransportError:
            return None
        return got.json() if got.status_code == status else None

    def has_failed(self) -> dict[str, Any] | None:
        """The body where it is late, and a pass has broken off."""
        told = self.answer(503)
        return told if told and told["failures"] else None

    def sample(self, name: str) -> float:
        lines = httpx2.get(f"{self.probe}/metrics", timeout=5).text.splitlines()
        (sample,) = [line for line in lines if line.startswith(f"{name} ")]
        return float(sample.split()[-1])


def test_a_clock_that_starts_on_a_read_only_server_waits_and_does_not_end(
    process_env: dict[str, str], tmp_path: Path
) -> None:
    log = tmp_path / "log"
    env = {**process_env, "PGOPTIONS": "-c default_transaction_read_only=on"}
    schedule = ScheduleFactory()

    with manage("runscheduler", env=env, log=log) as process:
        wait_until(lambda: b"clock.database_is_away" in log.read_bytes(), what="a pass that the server refuses")
        assert process.poll() is None

    assert not Run.objects.filter(schedule=schedule).exists()


@pytest.fixture
def clock(process_env: dict[str, str], tmp_path: Path) -> Iterator[WatchedClock]:
    port = free_port()
    env = {
        **process_env,
        "PGAPPNAME": NAME,
        "ORDINAUT_CLOCK_PASS_BUDGET": "1.5",
        "ORDINAUT_CLOCK_LOCK_TIMEOUT": "0.2",
        "ORDINAUT_CLOCK_STATEMENT_TIMEOUT": "1",
    }
    arguments = ("runscheduler", "--no-housekeeping", "--probe-port", str(port))
    with manage(*arguments, env=env, log=tmp_path / "log") as process:
        clock = WatchedClock(process, f"http://127.0.0.1:{port}", tmp_path / "log")
        wait_until(lambda: clock.answer(200), what="the clock to be ready")
        yield clock


@contextmanager
def somebody_locks(table: str, mode: str) -> Iterator[None]:
    other = connections.create_connection("default")
    other.set_autocommit(False)
    try:
        with other.cursor() as cursor:
            cursor.execute(f"LOCK TABLE {table} IN {mode} MODE")
        yield
    finally:
        other.close()


def backends() -> list[int]:
    """The server's processes that serve the clock."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pid FROM pg_stat_activity WHERE application_name = %s", [NAME])
        return [pid for (pid,) in cursor.fetchall()]


def make_due() -> None:
    at = datetime.now(UTC)
    ScheduleFactory(kind="once", expression=at.isoformat(), next_fire_at=at)


@pytest.mark.parametrize(
    ("table", "mode"),
    [
        ("scheduling_schedule", "ACCESS EXCLUSIVE"),
        # Read by no pass: what is due is stepped over one by one, and the passes go through.
        ("scheduling_duework", "EXCLUSIVE"),
        ("scheduling_run", "SHARE"),
    ],
)
def test_a_clock_that_waits_for_locks_is_not_ready_until_they_are_gone(
    clock: WatchedClock, table: str, mode: str
) -> None:
    at = datetime.now(UTC) + timedelta(seconds=1)
    for _ in range(3):
        ScheduleFactory(kind="once", expression=at.isoformat(), next_fire_at=at)
    with somebody_locks(table, mode):
        told = wait_until(clock.has_failed, what="the clock to say that it is late, and why")

    assert told["status"] == "unavailable"
    assert told["last_pass_seconds_ago"] >= told["budget_seconds"] == 1.5
    assert (told["last_failure"], told["database"]) == ("lock_timeout", "ok")
    assert told["skew_seconds"] is not None
    make_due()
    wait_until(lambda: clock.answer(200), what="the clock to be ready again")
    wait_until(Run.objects.exists, what="the clock to fire")
    assert clock.process.poll() is None
    assert clock.sample('ordinaut_clock_faults_total{kind="lock_timeout"}') >= 1


def test_a_clock_leaves_server_processes_that_stand_still_for_others(clock: WatchedClock) -> None:
    stopped = backends()
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        make_due()
        wait_until(Run.objects.exists, what="the clock to fire", timeout=30)
        wait_until(lambda: clock.answer(200), what="the clock to be ready again")
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)

    assert b"clock.server_silent" in clock.log.read_bytes()
    assert clock.process.poll() is None


def test_a_server_that_stands_still_is_seen_and_waited_for(clock: WatchedClock) -> None:
    stopped = backends()
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        told = wait_until(lambda: clock.answer(503), what="the clock to say that it is late")
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)

    assert (told["failures"], told["database"]) == (0, "silent")
    make_due()
    wait_until(lambda: clock.answer(200), what="the clock to be ready again")
    wait_until(Run.objects.exists, what="the clock to fire")
    assert clock.process.poll() is None
