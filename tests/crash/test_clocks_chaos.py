"""Clocks under faults that a seed throws at them, one after the other, while schedules of every kind fire."""

import random
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.db import connection, connections

from scheduling.models import Run, Schedule, Task
from tests.crash.clocks_support import SEED, assert_nothing_lost_or_doubled, dice, wait_until_all_fired
from tests.factories import ScheduleFactory, TaskFactory
from tests.processes import end, manage

pytestmark = pytest.mark.django_db(transaction=True)

SECONDS = 8 if SEED is None else 60
CLOCKS = 3
FAULTS = ("kill", "stop", "cut", "lock", "edit")


class Chaos:
    """Running clocks, and the faults that befall them."""

    def __init__(self, rng: random.Random, env: dict[str, str], folder: Path) -> None:
        self.rng = rng
        self.env = {
            **env,
            "ORDINAUT_CLOCK_LOCK_TIMEOUT": "0.2",
            "ORDINAUT_CLOCK_IDLE_TIMEOUT": "1",
            "PGAPPNAME": "chaos",
        }
        self.folder = folder
        self.clocks: list[subprocess.Popen[bytes]] = []
        self.befell: list[str] = []

    def start(self, stack: ExitStack) -> None:
        log = self.folder / f"clock-{len(self.befell)}-{len(self.clocks)}"
        self.clocks.append(
            stack.enter_context(manage("runscheduler", "--no-housekeeping", "--batch", "20", env=self.env, log=log))
        )

    def befall(self, stack: ExitStack) -> None:
        fault = self.rng.choice(FAULTS)
        self.befell.append(fault)
        victim = self.rng.choice(self.clocks)
        match fault:
            case "kill":
                victim.kill()
                victim.wait(10)
                self.clocks.remove(victim)
                self.start(stack)
            case "stop":
                victim.send_signal(signal.SIGSTOP)
                time.sleep(self.rng.uniform(0.2, 2))  # for so long its host sleeps
                victim.send_signal(signal.SIGCONT)
            case "cut":
                with connection.cursor() as cursor:
                    cursor.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'chaos'"
                    )
            case "lock":
                with somebody_holds_a_task(self.rng):
                    time.sleep(self.rng.uniform(0.1, 1))  # for so long they hold it
            case "edit":
                Schedule.objects.filter(state="active").update(jitter=timedelta(milliseconds=self.rng.randrange(100)))


@contextmanager
def somebody_holds_a_task(rng: random.Random) -> Iterator[None]:
    task = rng.choice(list(Task.objects.all()))
    other = connections.create_connection("default")
    other.set_autocommit(False)
    try:
        with other.cursor() as cursor:
            cursor.execute("SELECT FROM scheduling_task WHERE id = %s FOR UPDATE", [task.pk])
        yield
    finally:
        other.close()


def test_whatever_befalls_them_each_occurrence_has_one_run_or_reason(
    process_env: dict[str, str], tmp_path: Path
) -> None:
    rng = dice("chaos")
    start = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=1)
    tasks = [TaskFactory(overlap=overlap) for overlap in ("allow", "allow", "skip", "queue_all")]
    Schedule.objects.bulk_create(
        ScheduleFactory.build(
            task=tasks[number % 4],
            kind="interval",
            expression=f"PT{number % 3 + 1}S",
            starts_at=start.replace(tzinfo=None),
            next_fire_at=start,
            accounted_until=start - timedelta(microseconds=1),
            ends_at=start + timedelta(seconds=SECONDS),
            misfire_policy=("all", "last")[number % 2],
            misfire_grace=timedelta(seconds=1),
        )
        for number in range(30)
    )
    chaos = Chaos(rng, process_env, tmp_path)
    over_at = time.monotonic() + SECONDS
    with ExitStack() as stack:
        for _ in range(CLOCKS):
            chaos.start(stack)
        while time.monotonic() < over_at:
            chaos.befall(stack)
            time.sleep(rng.uniform(0.1, 0.6))  # until the next fault
        wait_until_all_fired(timeout=60)
        assert [clock.poll() for clock in chaos.clocks] == [None] * CLOCKS
        assert [end(clock) for clock in chaos.clocks] == [0] * CLOCKS

    assert_nothing_lost_or_doubled(set())
    assert Run.objects.count() > 30
