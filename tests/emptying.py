"""How tables are emptied after a test that has committed.

Django truncates every table and makes content types, permissions and roles anew: a third of a second after each of some
eight hundred tests. Here rows are deleted from those tables that have any, and what a migration makes is left where the
test has not touched it. After tests that leave large tables, or other roles, it is Django's way.
"""

from typing import Any

from django.core.management import call_command
from django.db import connection, transaction

# What `migrate` makes.
_MADE = ("django_content_type", "auth_permission", "auth_group", "auth_group_permissions")
_KEPT = ("django_migrations", *_MADE)
# Deleted rows stay in their pages: a table that has grown is truncated, so that no plan of a later test sees it.
_LARGE = 64  # pages

_TABLES = """
SELECT relname FROM pg_class
WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND relname <> ALL(%s)
ORDER BY relname
"""
_LARGEST = "SELECT max(pg_relation_size(oid)) / 8192 FROM pg_class WHERE relname = ANY(%s) AND relkind = 'r'"

_made: str | None = None
_tables: list[str] = []


def remember() -> None:
    """Take what there is now for what a test finds. Asks for access to the database."""
    global _made, _tables
    with connection.cursor() as cursor:
        cursor.execute(_TABLES, [list(_KEPT)])
        _tables = [name for (name,) in cursor.fetchall()]
    _made = _fingerprint()


def empty_tables(_: Any = None) -> None:
    """Stands in for `TransactionTestCase._fixture_teardown`."""
    if _made is None or _fingerprint() != _made:
        _flush()
        return
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_LARGEST, [_tables])
        if cursor.fetchone()[0] <= _LARGE:
            cursor.execute(" UNION ALL ".join(f"SELECT '{name}' WHERE EXISTS (SELECT FROM {name})" for name in _tables))
            full = [name for (name,) in cursor.fetchall()]
            if full:
                # No trigger acts, of ours or of a foreign key: everything goes.
                cursor.execute("SET LOCAL session_replication_role = replica")
                cursor.execute("; ".join(f"DELETE FROM {name}" for name in full))
            return
    _flush()


def _flush() -> None:
    call_command("flush", verbosity=0, interactive=False, allow_cascade=False, inhibit_post_migrate=False)
    remember()


def _fingerprint() -> str:
    """Of the rows that `migrate` makes, whatever their order."""
    sums = (f"(SELECT count(*) || ':' || COALESCE(sum(hashtext(each::text)), 0) FROM {name} each)" for name in _MADE)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT concat_ws(' ', {', '.join(sums)})")
        return str(cursor.fetchone()[0])
