"""The plans of the statements of a pass, at a size at which a scan would hurt."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection, transaction

from scheduling.clock import session
from scheduling.clock.due import EARLIEST, due_statement, read_due
from scheduling.ids import new_id
from scheduling.models import Schedule
from scheduling.postgres import binary_cursor
from scheduling.runs.plain import FIRE_PLAIN
from tests.factories import ScheduleFactory
from tests.population import copies_of

pytestmark = pytest.mark.django_db(transaction=True)

NINE = datetime(2026, 6, 1, 9, 0, tzinfo=UTC)


def test_the_statements_of_a_pass_use_their_indexes_at_size() -> None:
    first = ScheduleFactory(next_fire_at=NINE)
    copies_of(first, 20_000, next_fire_at="next_fire_at + n * interval '1 minute'")
    due = {"now": NINE + timedelta(minutes=3)}
    with connection.cursor() as cursor:
        cursor.execute("VACUUM (ANALYZE) scheduling_schedule")
    ids = list(Schedule.objects.order_by("next_fire_at").values_list("id", flat=True)[:50])
    planned = {
        "ids": ids,
        "versions": [1] * 50,
        "run_ids": [new_id() for _ in ids],
        "scheduled_for": [NINE] * 50,
        "available_at": [NINE] * 50,
        "next_fire_at": [NINE + timedelta(days=1)] * 50,
    }

    read = explained(due_statement(is_now=False, batch=500), due)
    shared = explained(due_statement(is_now=False, batch=500, skip=500, is_shared=True), due)
    recent = explained(due_statement(is_now=False, batch=500, since=timedelta(seconds=5)), due)
    earliest = explained(EARLIEST, {})
    written = explained(FIRE_PLAIN, planned)

    for plan in (read, shared, recent, earliest):
        assert "schedule_due_idx" in plan
        assert "Seq Scan on scheduling_schedule" not in plan
    assert "Index Cond: (next_fire_at <=" in read
    assert re.search(r"Index Cond: \(\(next_fire_at <= .* AND \(next_fire_at > ", recent), recent
    assert "Seq Scan on scheduling_schedule" not in written
    assert "scheduling_schedule_pkey" in written


def test_a_pass_with_nothing_due_reads_a_page_or_two_whatever_waits() -> None:
    first = ScheduleFactory(next_fire_at=datetime.now(UTC) + timedelta(days=1))
    copies_of(first, 20_000, next_fire_at="next_fire_at + n * interval '1 minute'")
    with connection.cursor() as cursor:
        cursor.execute("VACUUM (ANALYZE) scheduling_schedule")

    # `now` is the database's own, as in a running clock: a volatile function there would read the whole index.
    plan = explained(due_statement(is_now=True, batch=500), {}, options="ANALYZE, BUFFERS, COSTS OFF")

    hit = re.search(r"Buffers: shared hit=(\d+)", plan)
    assert hit is not None
    assert int(hit[1]) < 20, plan


def test_a_plan_that_was_kept_from_when_the_tables_were_small_is_made_anew_when_it_has_become_slow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("scheduling.clock.due.SLOW_READ", 0.0)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM (ANALYZE) scheduling_schedule")
    with session.owned():
        assert read_due(now=None, batch=1000) == []
        assert "Seq Scan on scheduling_schedule" in kept_plan()
        copies_of(ScheduleFactory(next_fire_at=datetime.now(UTC) - timedelta(minutes=1)), 20_000)

        assert len(read_due(now=None, batch=1000)) == 1000

        assert "Index Scan using schedule_due_idx" in kept_plan()
        connection.close()


def kept_plan() -> str:
    """The plan that the server keeps on this connection for the read of what is due."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT name FROM pg_prepared_statements WHERE statement LIKE '%%schedule.misfire_grace%%'")
        ((name,),) = cursor.fetchall()
        cursor.execute(f"EXPLAIN (COSTS OFF) EXECUTE {name}")
        return "\n".join(line for (line,) in cursor.fetchall())


def explained(statement: str, parameters: dict[str, Any], *, options: str = "COSTS OFF") -> str:
    with transaction.atomic(), binary_cursor() as cursor:
        cursor.execute(f"EXPLAIN ({options}) {statement}", parameters)
        return "\n".join(line for (line,) in cursor.fetchall())
