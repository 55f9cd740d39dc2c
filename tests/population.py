"""Rows by the ten thousand for tests of plans at size: one is made by its factory, the others by the server."""

from django.db import connection
from django.db.models import Model


def copies_of(instance: Model, count: int, **expressions: str) -> None:
    """Insert `count` rows like the stored `instance`, each with a key of its own.

    `expressions`: SQL for fields that differ, by column; `n` counts from 0 there, and the row's own columns are named.
    """
    table, key = instance._meta.db_table, str(instance._meta.pk.column)
    expressions.setdefault(key, "gen_random_uuid()")
    columns = [str(field.column) for field in instance._meta.concrete_fields]
    assert expressions.keys() <= set(columns)
    values = ", ".join(expressions.get(column, column) for column in columns)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} ({', '.join(columns)}) "
            f"SELECT {values} FROM {table}, generate_series(0, %s - 1) AS n WHERE {table}.{key} = %s",
            [count, instance.pk],
        )
        assert cursor.rowcount == count
