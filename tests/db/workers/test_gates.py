"""How a worker host asks for the admission of held runs."""

import pytest
from django.db import connection

from tests.workers_support import due_work
from workers import gates

pytestmark = pytest.mark.django_db(transaction=True)


def test_who_stands_still_in_the_middle_of_an_admission_loses_the_locks_to_the_server(monkeypatch):
    limits: list[str] = []

    def look(cursor, **_):
        cursor.execute("SHOW idle_in_transaction_session_timeout")
        limits.append(cursor.fetchone()[0])
        return 0

    monkeypatch.setattr(gates, "release_gated", look)
    due_work()

    gates.sweep_gates()

    assert limits == ["10s"]
    with connection.cursor() as cursor:
        cursor.execute("SHOW idle_in_transaction_session_timeout")
        assert cursor.fetchone()[0] == "0"
