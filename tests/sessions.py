"""A check that a test leaves no connection behind; a leaked one would also keep the test database from going."""

from django.db import connection

from tests.waiting import wait_until

_OTHERS = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""


def no_other_sessions() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(_OTHERS)
        return bool(cursor.fetchone()[0] == 0)


def wait_for_sessions_to_end() -> None:
    """A closed connection's server process takes a moment to end."""
    wait_until(no_other_sessions, timeout=10, what="the end of every other database session")
