"""The database's clock, by which lateness is judged everywhere: hosts may differ by minutes."""

from datetime import UTC, datetime

from django.db import connection


def database_now() -> datetime:
    """The instant (aware, UTC) at which the open transaction began; of this statement where none is open."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT now()")
        row: tuple[datetime] = cursor.fetchone()
    return row[0].astimezone(UTC)
