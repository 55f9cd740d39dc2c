"""Setting a schedule aside with its reason, so that it holds nothing up, and rows that Python cannot even read."""

from typing import Any
from uuid import UUID

import psycopg
import structlog

from scheduling.clock import metrics, session

logger = structlog.get_logger(__name__)

_QUARANTINE = """
UPDATE scheduling_schedule SET state = 'quarantined', state_reason = %s, version = version + 1, updated_at = now()
WHERE id = %s AND version = %s AND state = 'active'
RETURNING task_id
"""

Unreadable = tuple[UUID, int, str]  # a schedule, its version, and why


def quarantine(schedule_id: UUID, version: int, reason: str) -> int:
    """Set a schedule aside; return 0 where it has changed since it was read."""
    with session.bounded() as cursor:
        cursor.execute(_QUARANTINE, [reason[:500], schedule_id, version])
        row = cursor.fetchone()
    if row is None:
        return 0
    metrics.QUARANTINED.inc()
    logger.error("schedule.quarantined", schedule=str(schedule_id), task=str(row[0]), reason=reason)
    return 1


def rows_of(cursor: psycopg.Cursor[tuple[Any, ...]]) -> tuple[list[tuple[Any, ...]], list[Unreadable]]:
    """The rows of a binary result whose first columns are a schedule's id and version; apart from them those that the
    driver cannot turn into Python's values, as dates of other ages written by hand. One of them must not hold up the
    others, whose answer it came with.
    """
    try:
        return cursor.fetchall(), []
    except (psycopg.DataError, ValueError, OverflowError):
        return _one_by_one(cursor)


def _one_by_one(cursor: psycopg.Cursor[tuple[Any, ...]]) -> tuple[list[tuple[Any, ...]], list[Unreadable]]:
    rows: list[tuple[Any, ...]] = []
    unreadable: list[Unreadable] = []
    result = cursor.pgresult
    for place in range(0 if result is None else result.ntuples):
        cursor.scroll(place, mode="absolute")
        try:
            row = cursor.fetchone()
        except (psycopg.DataError, ValueError, OverflowError) as error:
            unreadable.append(_named(result, place, error))
        else:
            assert row is not None
            rows.append(row)
    return rows, unreadable


def _named(result: Any, place: int, error: Exception) -> Unreadable:
    schedule_id, version = (result.get_value(place, column) for column in (0, 1))
    return UUID(bytes=bytes(schedule_id)), int.from_bytes(version), f"cannot be read: {str(error).strip()}"
