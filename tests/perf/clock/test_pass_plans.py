"""The plans of the statements of a pass, at a size at which a scan would hurt."""

import re
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models.functions import Now

from scheduling.clock import session
from scheduling.clock.due import EARLIEST, due_statement, earliest_mark, read_due
from scheduling.clock.horizon import Horizon
from scheduling.ids import new_id
from scheduling.models import Schedule
from scheduling.postgres import binary_cursor
from scheduling.runs.plain import FIRE_PLAIN
from tests.factories import ScheduleFactory
from tests.population import copies_of
from tests.races.test_clock_contention import somebody_holds

pytestmark = pytest.mark.django_db(transaction=True)

A_SNAPSHOT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM scheduling_task"
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
    assert re.search(r"Index Cond: \(.*\(next_fire_at <= .* AND \(next_fire_at > ", recent), recent
    assert "Seq Scan on scheduling_schedule" not in written
    assert "scheduling_schedule_pkey" in written


def test_a_pass_with_nothing_due_reads_a_page_or_two_whatever_waits() -> None:
    first = ScheduleFactory(next_fire_at=datetime.now(UTC) + timedelta(days=1))
    copies_of(first, 20_000, next_fire_at="next_fire_at + n * interval '1 minute'")
    with connection.cursor() as cursor:
        cursor.execute("VACUUM (ANALYZE) scheduling_schedule")

    # `now` is the database's own, as in a running clock: a volatile function there would read the whole index.
    assert pages_of_a_look(None) < 20


def test_a_look_that_begins_where_an_earlier_one_ended_passes_over_no_mark_that_a_held_snapshot_keeps() -> None:
    copies_of(ScheduleFactory(next_fire_at=datetime.now(UTC) + timedelta(days=1)), 20_000)
    horizon = Horizon()
    with session.owned():
        look = partial(earliest_mark, horizon=horizon)
        with somebody_holds(A_SNAPSHOT):
            # As if each had been due, fired, and moved on.
            Schedule.objects.update(next_fire_at=Now() - timedelta(minutes=1))
            Schedule.objects.update(next_fire_at=Now() + timedelta(days=1))
            assert look() is not None
            with horizon.look("earliest") as floor:
                pass

            from_the_beginning, from_there = pages_of_a_look(None), pages_of_a_look(floor)

    assert from_the_beginning > 10_000, "the entries are there"
    assert from_there < 20


def pages_of_a_look(floor: datetime | None) -> int:
    """How many pages the read of what is due touches, where nothing is."""
    statement = due_statement(is_now=True, batch=500, has_floor=floor is not None)
    plan = explained(statement, {"floor": floor}, options="ANALYZE, BUFFERS, COSTS OFF")
    hit = re.search(r"Buffers: shared hit=(\d+)", plan)
    assert hit is not None
    return int(hit[1])


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
