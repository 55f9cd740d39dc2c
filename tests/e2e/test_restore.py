"""A dump, restored into an empty database, is the same installation: work that was due is finished there."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from ordinaut_project.embedded.binaries import EmbeddedError, postgres_program
from tests.factories import DueWorkFactory, OperatorFactory, RunFactory, ScheduleFactory, StepRunFactory
from tests.processes import manage
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

RESTORED = "restored"


def program(name: str) -> str:
    """The embedded one, whose version is the server's; the system's where tests run on a server of their own."""
    try:
        return str(postgres_program(name))
    except EmbeddedError:
        found = shutil.which(name)
        assert found is not None
        return found


def of_database(url: str, name: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=f"/{name}"))


@contextmanager
def empty_database(url: str) -> Iterator[str]:
    """A database beside the test's own, gone afterwards."""
    name = f"{RESTORED}_{os.getpid()}"
    with psycopg.connect(of_database(url, "postgres"), autocommit=True) as server:
        server.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
        try:
            yield of_database(url, name)
        finally:
            server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def counts(url: str) -> dict[str, int]:
    with psycopg.connect(url) as database:
        tables = database.execute(
            "SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
        ).fetchall()
        return {table: database.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for (table,) in tables}


def definitions(url: str) -> dict[str, set[tuple[str, ...]]]:
    """Constraints, triggers, indexes and storage settings as the catalog spells them."""
    queries = {
        "constraints": """
            SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
            WHERE connamespace = 'public'::regnamespace
        """,
        "triggers": "SELECT tgrelid::regclass::text, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal",
        "indexes": "SELECT tablename, indexdef FROM pg_indexes WHERE schemaname = 'public'",
        "options": "SELECT relname, reloptions::text FROM pg_class WHERE reloptions IS NOT NULL",
        "storage": """
            SELECT attrelid::regclass::text, attname, attstorage::text FROM pg_attribute
            WHERE attnum > 0 AND NOT attisdropped AND attrelid IN (
                SELECT oid FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
            )
        """,
    }
    with psycopg.connect(url) as database:
        return {
            name: {tuple(spelled(text) for text in row) for row in database.execute(query).fetchall()}
            for name, query in queries.items()
        }


def spelled(definition: str) -> str:
    """A definition without casts and brackets: PostgreSQL writes those of `IN` lists differently once they have been
    read back from its own spelling."""
    return re.sub(r"::(character varying|text)(\[\])?|[()\[\]]|ARRAY", "", definition)


def test_a_restored_dump_is_the_same_and_finishes_what_was_due(process_env: dict[str, str], tmp_path: Path) -> None:
    url = process_env["DATABASE_URL"]
    due = DueWorkFactory()
    StepRunFactory(run=RunFactory(succeeded=True), output={"b": 1, "a": [1.0, "é"]})
    ScheduleFactory(expression="0 0 1 1 *", exdates=[])
    OperatorFactory()
    dump = tmp_path / "ordinaut.dump"
    subprocess.run([program("pg_dump"), "--format=custom", f"--file={dump}", url], check=True)

    with empty_database(url) as restored:
        subprocess.run(
            [program("pg_restore"), "--no-owner", "--exit-on-error", f"--dbname={restored}", dump], check=True
        )

        assert counts(restored) == counts(url)
        restored_definitions = definitions(restored)
        for name, expected in definitions(url).items():
            assert restored_definitions[name] ^ expected == set(), name
        env = {**process_env, "DATABASE_URL": restored, "DATABASE_DIRECT_URL": restored}
        with (
            manage("runworkers", "--processes", "1", env=env, log=tmp_path / "workers.log"),
            psycopg.connect(restored, autocommit=True) as database,
        ):
            state = "SELECT state FROM scheduling_run WHERE id = %s"
            wait_until(
                lambda: database.execute(state, [due.run_id]).fetchone() == ("succeeded",),
                what="the due run to finish in the restored database",
            )
            with pytest.raises(psycopg.errors.IntegrityConstraintViolation):
                database.execute("UPDATE scheduling_taskrevision SET number = 7")
