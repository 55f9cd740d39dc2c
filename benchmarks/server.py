"""A durable PostgreSQL for one benchmark: fsync and synchronous_commit on, migrated, thrown away at the end."""

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.report import Report
from ordinaut_project.embedded.postgres import Postgres
from workers.supervisor import Supervisor


@contextmanager
def durable_database(report: Report) -> Iterator[str]:
    """The address of an empty, migrated database, which Django uses while the block runs.

    Prints what makes figures of writes comparable: the server's version, fsync and synchronous_commit.
    """
    folder = Path(tempfile.mkdtemp(prefix="ordinaut-bench-"))
    supervisor = Supervisor()
    try:
        postgres = Postgres(folder / "postgres")
        postgres.prepare()
        postgres.wait_until_ready(supervisor.start(postgres.spec()))
        postgres.ensure_database()
        os.environ |= {
            "DATABASE_URL": postgres.url(),
            "REDIS_URL": "",
            "ORDINAUT_ENV": "test",
            "ORDINAUT_SECRET_KEY": secrets.token_urlsafe(64),
            "ORDINAUT_LOG_LEVEL": "ERROR",
            "DJANGO_SETTINGS_MODULE": "ordinaut_project.settings",
        }
        _migrate(postgres.url())
        _describe(report)
        yield postgres.url()
    finally:
        _close_connections()
        supervisor.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _migrate(url: str) -> None:
    import django
    from django.apps import apps
    from django.core.management import call_command
    from django.db import connections

    if not apps.ready:
        django.setup()
    else:
        # A second benchmark of the same process: the same Django, another server.
        from ordinaut_project import env

        connections["default"].close()
        connections["default"].settings_dict.update(env.database("DATABASE_URL", url))
    call_command("migrate", verbosity=0)


def _describe(report: Report) -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        for name in ("server_version", "fsync", "synchronous_commit"):
            cursor.execute(f"SHOW {name}")
            report.fact(name, cursor.fetchone()[0])


def _close_connections() -> None:
    from django.db import connections

    connections.close_all()
