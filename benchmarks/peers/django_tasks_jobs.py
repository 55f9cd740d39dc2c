"""django-tasks-db: its own `db_worker`, which takes one job at a time."""

import sys
from urllib.parse import parse_qs, urlsplit

import django
from django.conf import settings
from django.core.management import call_command


def configure(address: str) -> None:
    parts = urlsplit(address)
    where = parse_qs(parts.query)
    settings.configure(
        INSTALLED_APPS=["django_tasks_db"],
        SECRET_KEY="of a benchmark",  # noqa: S106 (nothing is signed)
        USE_TZ=True,
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.postgresql",
                "NAME": parts.path.lstrip("/"),
                "USER": parts.username,
                "HOST": where["host"][0],
                "PORT": where["port"][0],
                "CONN_MAX_AGE": None,
            }
        },
        TASKS={"default": {"BACKEND": "django_tasks_db.DatabaseBackend", "QUEUES": ["default"]}},
    )
    django.setup()


def prepare() -> None:
    call_command("migrate", verbosity=0)


def fill(count: int) -> None:
    from django.db import connection
    from noop_task import noop

    for _ in range(count):
        noop.enqueue()
    with connection.cursor() as cursor:
        cursor.execute("VACUUM (ANALYZE)")
        cursor.execute("CHECKPOINT")


def work() -> None:
    call_command("db_worker", interval=0.1, startup_delay=False, reload=False)


if __name__ == "__main__":
    word, where, *rest = sys.argv[1:]
    configure(where)
    {"prepare": prepare, "fill": fill, "work": work}[word](*map(int, rest))
