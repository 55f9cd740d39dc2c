"""PostgreSQL goes away in the middle of a pass, and comes back: the clock goes on by itself."""

import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection

from ordinaut_project import env
from ordinaut_project.embedded.postgres import Postgres
from tests.crash.clocks_support import (
    BATCH,
    assert_nothing_lost_or_doubled,
    dice,
    make_due,
    state_of,
    wait_until_all_fired,
)
from tests.effort import in_torture_also
from tests.processes import inherited_env, manage
from tests.waiting import wait_until
from workers.supervisor import Child, spawn

POINTS = ["after-read", "after-lock", "before-commit", "after-commit"]
# Seconds from the first answer of the server until all is fired: the longest pause between two tries, and some.
RECOVERS_WITHIN = 15.0


@dataclass
class Server:
    """A PostgreSQL of this module's own, to which Django's connection points while a test runs."""

    postgres: Postgres
    child: Child

    @property
    def url(self) -> str:
        return self.postgres.url()

    def go_away(self, how: str) -> None:
        """As `pg_ctl stop -m fast` and `-m immediate` do it, or as the kernel does it to the whole server."""
        match how:
            case "fast":
                self.child.process.send_signal(signal.SIGINT)
                self.child.process.wait(30)
            case "immediate":
                self.child.process.send_signal(signal.SIGQUIT)
                self.child.process.wait(30)
            case "killed":
                self.child.kill()
        connection.close()

    def come_back(self) -> None:
        self.child = spawn(self.postgres.spec())
        self.postgres.wait_until_ready(self.child)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    postgres = Postgres(tmp_path_factory.mktemp("server") / "pg")
    postgres.prepare()
    child = spawn(postgres.spec())
    postgres.wait_until_ready(child)
    server = Server(postgres, child)
    try:
        postgres.ensure_database()
        yield server
    finally:
        server.child.kill()


@pytest.fixture
def database(server: Server, django_db_blocker: Any) -> Iterator[Server]:
    """Django's own connection leads to that server, in this test alone."""
    before = dict(connection.settings_dict)
    with django_db_blocker.unblock():
        connection.close()
        connection.settings_dict.update(_settings_of(server.url))
        try:
            call_command("migrate", verbosity=0)
            with connection.cursor() as cursor:
                cursor.execute(
                    "TRUNCATE scheduling_run, scheduling_duework, scheduling_miss, scheduling_schedule,"
                    " scheduling_event, scheduling_outbox, scheduling_task, scheduling_taskrevision CASCADE"
                )
            yield server
        finally:
            connection.close()
            connection.settings_dict.update(before)


def _settings_of(url: str) -> dict[str, Any]:
    read = env.database("DATABASE_URL", url)
    return {name: read[name] for name in ("NAME", "USER", "PASSWORD", "HOST", "PORT")}


@pytest.mark.parametrize("how", in_torture_also(["fast", "killed"], ["immediate"]))
def test_a_database_that_restarts_in_the_middle_of_a_pass_loses_and_doubles_nothing(
    how: str, database: Server, tmp_path: Path
) -> None:
    expected = make_due(3 * BATCH)
    point = dice(how).choice(POINTS)
    around = {**inherited_env(), "DATABASE_URL": database.url, "DATABASE_DIRECT_URL": database.url}
    log = tmp_path / "log"
    command = ("runscheduler", "--no-housekeeping", "--batch", str(BATCH))

    with manage(*command, env={**around, "ORDINAUT_TEST_CLOCK_POINT": f"stop:{point}"}, log=log) as clock:
        wait_until(lambda: state_of(clock) == "T", what="the clock to stand in the middle of its pass")
        database.go_away(how)
        clock.send_signal(signal.SIGCONT)
        wait_until(lambda: "clock.database_is_away" in log.read_text(), what="the clock to notice")
        database.come_back()
        back_at = time.monotonic()
        wait_until_all_fired()
        assert time.monotonic() - back_at < RECOVERS_WITHIN
        assert clock.poll() is None

    assert_nothing_lost_or_doubled(expected)
