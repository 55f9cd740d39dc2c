"""Fixtures of the servers, for every tier. Factories and clients live beside the tests that need them."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import redis

from tests import emptying
from tests.ordering import folder_in, spread
from tests.processes import inherited_env
from tests.sessions import wait_for_sessions_to_end


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files in an order in which a parallel run is soon done; the tests of a file stay as they are."""
    by_file: dict[str, list[pytest.Item]] = {}
    for item in items:
        by_file.setdefault(str(item.path), []).append(item)
    root = Path(__file__).parent
    ours = [file for file in by_file if Path(file).is_relative_to(root)]
    others = [file for file in by_file if file not in ours]
    items[:] = [item for file in [*spread(ours, folder_in(root)), *others] for item in by_file[file]]


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> None:
    """Let a test without an enclosing transaction be cleaned up after: that may need TRUNCATE, which the audit trail's
    trigger forbids. The trigger's own test enables it again, inside its transaction."""
    from django.db import connection
    from django.test import TransactionTestCase

    with django_db_blocker.unblock():
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE scheduling_auditentry DISABLE TRIGGER audit_entry_is_not_truncated")
        emptying.remember()
    TransactionTestCase._fixture_teardown = emptying.empty_tables  # type: ignore[attr-defined]


@pytest.fixture
def redis_client() -> Iterator[redis.Redis]:
    """A client of this test process's own Redis database, emptied first."""
    client = redis.Redis.from_url(os.environ["REDIS_URL"])
    client.flushdb()
    yield client
    client.close()


@pytest.fixture
def process_env(transactional_db: None) -> Iterator[dict[str, str]]:
    """The environment of a real process (`manage.py ...`) that works on this test process's own databases.

    What such a process sees must be committed, so the test runs without an enclosing transaction. The tables are
    emptied when the last such process has gone: what one that outlives its test wrote would be there in the next.
    """
    from django.db import connection

    values = connection.settings_dict
    host = quote(str(values["HOST"]), safe="")
    password = f":{quote(values['PASSWORD'], safe='')}" if values["PASSWORD"] else ""
    port = f":{values['PORT']}" if values["PORT"] else ""
    url = f"postgresql://{values['USER']}{password}@{host}{port}/{values['NAME']}"
    yield {**inherited_env(), "DATABASE_URL": url, "DATABASE_DIRECT_URL": url, "REDIS_URL": os.environ["REDIS_URL"]}
    wait_for_sessions_to_end()
