"""While somebody holds a snapshot no dead row of the queue can be removed. A claim stays as quick as before."""

import time
import uuid

import psycopg
import pytest
from django.db import connection

from scheduling.models import DueWork
from tests.factories import TaskFactory
from tests.perf.workers.test_plans import explain
from tests.workers_support import claimer, run
from workers.bloat import read_bloat
from workers.claim import Floors
from workers.connection import conninfo
from workers.statements import CLAIM

pytestmark = pytest.mark.django_db(transaction=True)

CHURNED = 50_000
BATCH = 1_000

_ENQUEUE = """
INSERT INTO scheduling_duework (
    run_id, task_id, queue, priority, available_at, attempt, claim_count, handback_count, death_count, is_suspect,
    is_exclusive
)
SELECT gen_random_uuid(), %s, 'default', 5, clock_timestamp(), 1, 0, 0, 0, false, false
FROM generate_series(1, %s)
"""


def blocks(plan):
    return plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"]


def test_a_claim_reads_no_more_after_fifty_thousand_runs_under_a_held_snapshot():
    task = TaskFactory()
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE scheduling_duework")

    def claim_cost(floors):
        """What a claim of twenty reads, with something due; it is undone by deleting what it took."""
        with connection.cursor() as cursor:
            cursor.execute(_ENQUEUE, [task.pk, 50])
        began = time.perf_counter()
        plan = explain(CLAIM, {**floors, "limit": 20, "boot_id": str(uuid.uuid4())})
        took = time.perf_counter() - began
        DueWork.objects.all().delete()
        return blocks(plan), plan["Execution Time"], took

    def floors_of(taker):
        return taker._floors.parameters(now=taker._floors._full_at)

    async def churn(times):
        async with claimer() as taker:
            for _ in range(times):
                with connection.cursor() as cursor:
                    cursor.execute(_ENQUEUE, [task.pk, BATCH])
                taken = await taker.claim(limit=BATCH)
                assert len(taken) == BATCH
                with connection.cursor() as cursor:
                    cursor.execute("DELETE FROM scheduling_duework WHERE run_id = ANY(%s)", [[r.run_id for r in taken]])
            return floors_of(taker)

    with psycopg.connect(conninfo(), application_name="a forgotten report") as held:
        held.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        held.execute("SELECT count(*) FROM scheduling_duework")

        few, few_ms, _ = claim_cost(_synchronous(churn, 2))
        many, many_ms, _ = claim_cost(_synchronous(churn, CHURNED // BATCH - 2))
        without, _, _ = claim_cost(Floors(["default"]).parameters(now=0.0))
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_stat_force_next_flush()")
            cursor.execute("VACUUM (SKIP_LOCKED) scheduling_duework")
        bloat = read_bloat()

    assert many <= few * 1.5, (few, many)
    assert many_ms <= few_ms * 5 + 5, (few_ms, many_ms)
    # The rows are there all the same: a probe without a floor passes over them.
    assert without > many * 3, (many, without)
    [queue] = [table for table in bloat.tables if table.name == "scheduling_duework"]
    assert queue.dead >= CHURNED
    assert bloat.holder is not None
    assert bloat.holder.application == "a forgotten report"


def _synchronous(churn, times):
    """Django's connection refuses to be used in a running loop; this one is the test's own."""
    import os

    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
    try:
        return run(churn(times), within=300)
    finally:
        del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]
