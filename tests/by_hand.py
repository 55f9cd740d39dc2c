"""Rows as nobody of ours writes them: past the table's conditions, as a release without them could have left them."""

from collections.abc import Sequence
from typing import Any

from django.db import connection


def write_by_hand(ids: Sequence[Any], assignment: str) -> None:
    """Assign to the schedules of these ids. The conditions are dropped in the open transaction of the test, whose end
    brings them back."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(
            "SELECT conname FROM pg_constraint WHERE conrelid = 'scheduling_schedule'::regclass"
            " AND contype = 'c' AND conname LIKE '%%\\_readable'"
        )
        for (name,) in cursor.fetchall():
            cursor.execute(f"ALTER TABLE scheduling_schedule DROP CONSTRAINT {name}")
        cursor.execute(f"UPDATE scheduling_schedule SET {assignment} WHERE id = ANY(%s)", [list(ids)])
