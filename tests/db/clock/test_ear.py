"""Hearing of changed schedules never holds the clock up."""

import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection

from scheduling.clock.ear import Ear
from scheduling.wakeup import SCHEDULES_CHANNEL
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def ear() -> Iterator[Ear]:
    opened = Ear()
    yield opened
    opened.close()


def tell() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify(%s, '')", [SCHEDULES_CHANNEL])


def test_a_notification_ends_the_wait(ear: Ear) -> None:
    wait_until(ear.connection)
    tell()

    began = time.monotonic()
    assert ear.wait(30)
    assert ear.has_heard

    assert time.monotonic() - began < 10
    assert ear.wait(0.01)
    assert not ear.has_heard


def test_a_server_that_says_nothing_is_not_waited_for(ear: Ear, settings: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings.ORDINAUT_DATABASE_DIRECT_URL = f"postgresql://nobody@127.0.0.1:{silent.getsockname()[1]}/none"

        began = time.monotonic()
        assert [ear.wait(1) for _ in range(5)] == [False] * 5

        assert time.monotonic() - began < 1


def test_a_lost_connection_is_opened_again(ear: Ear) -> None:
    wait_until(ear.connection)
    first = ear.connection()
    assert first is not None
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s)", [first.info.backend_pid])

    assert not ear.wait(5)

    wait_until(ear.connection)
    assert ear.connection() is not first


def test_without_an_address_there_is_none(ear: Ear, settings: Any) -> None:
    settings.ORDINAUT_DATABASE_DIRECT_URL = ""

    assert ear.connection() is None
    assert not ear.wait(0)
