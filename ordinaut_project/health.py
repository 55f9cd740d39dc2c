"""Is the process alive, and can it do its work? For supervisors, load balancers and `manage.py up`.

`/livez` says that the process answers. `/readyz` is 503 while the database is away or lacks migrations; without Redis
it is 200 and says `degraded`, because work goes on.
"""

import threading
from functools import cache

import psycopg
import structlog
from django.conf import settings
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.http import HttpRequest, HttpResponse, JsonResponse

from scheduling.redis_client import is_up

logger = structlog.get_logger(__name__)

_TIMEOUT = 2  # seconds, to connect and to answer

_lock = threading.Lock()
_last_database = ""


def livez(_request: HttpRequest) -> HttpResponse:
    """200 while the process answers."""
    return JsonResponse({"status": "ok"})


def readyz(_request: HttpRequest) -> HttpResponse:
    """What can be done right now, and what is missing."""
    database = database_state()
    _note(database)
    if database != "ok":
        return JsonResponse({"status": "unavailable", "database": database}, status=503, headers={"Retry-After": "5"})
    redis = "ok" if is_up() else "degraded"
    return JsonResponse({"status": redis, "database": "ok", "redis": redis})


def database_state() -> str:
    """`ok`, `down`, or `migrations missing`. Asked on a connection of its own, so that a full pool is not an outage."""
    parameters = connection.get_connection_params()
    for name in ("pool", "cursor_factory", "context", "prepare_threshold"):
        parameters.pop(name, None)
    try:
        with psycopg.connect(
            **{**parameters, "connect_timeout": _TIMEOUT, "options": f"-c statement_timeout={_TIMEOUT}s"},
            autocommit=True,
        ) as own:
            rows = own.execute("SELECT app, name FROM django_migrations").fetchall()
    except psycopg.errors.UndefinedTable:
        return "migrations missing"
    except psycopg.Error:
        return "down"
    return "ok" if _migrations() <= {(app, name) for app, name in rows} else "migrations missing"


@cache
def _migrations() -> frozenset[tuple[str, str]]:
    """The migrations of this release, read from its files once."""
    loader = MigrationLoader(None, ignore_no_migrations=True)
    return frozenset(loader.disk_migrations)


def _note(database: str) -> None:
    """One log line when the state changes, not one a probe."""
    global _last_database
    with _lock:
        changed, before = _last_database != database, _last_database
        _last_database = database
    if not changed:
        return
    if database == "ok":
        if before:
            logger.info("database.up")
    else:
        host = settings.DATABASES["default"].get("HOST", "")
        logger.error("database.unavailable", state=database, host=host, hint="Requests get 503 until it is back.")
