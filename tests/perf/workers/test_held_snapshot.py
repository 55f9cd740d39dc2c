"""While somebody holds a snapshot no dead row of the queue can be removed. A claim stays as quick as before, but
for one a second, whose reads grow with the dead rows."""

import time
import uuid

import psycopg
import pytest
from django.db import connection

from scheduling.models import DueWork
from tests.factories import TaskFactory
from tests.perf.workers.test_plans import explain
from tests.workers_support import claimer, database, run
from workers.bloat import read_bloat
from workers.columns import Texts, Uuids
from workers.connection import conninfo
from workers.floors import Floors
from workers.statements import CLAIM

pytestmark = pytest.mark.django_db(transaction=True)

CHURNED = 50_000
BATCH = 1_000

_ENQUEUE = b"""
INSERT INTO scheduling_duework (
    run_id, task_id, queue, priority, available_at, attempt, claim_count, handback_count, death_count, is_suspect,
    is_exclusive
)
SELECT gen_random_uuid(), %(task)s, 'default', 5, clock_timestamp(), 1, 0, 0, 0, false, false
FROM generate_series(1, %(count)s)
"""


_END = b"DELETE FROM scheduling_duework WHERE run_id = ANY(%(run_ids)s)"


def blocks(plan):
    return plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"]


def test_a_claim_reads_no_more_after_fifty_thousand_runs_under_a_held_snapshot():
    task = TaskFactory()
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE scheduling_duework")

    def claim_cost(floors):
        """What a claim of twenty reads, with something due; it is undone by deleting what it took."""
        with connection.cursor() as cursor:
            cursor.execute(_ENQUEUE.decode(), {"task": task.pk, "count": 50})
        plan = explain(CLAIM, {**floors, "limit": 20, "boot_id": str(uuid.uuid4()), "metered": Texts()})
        DueWork.objects.all().delete()
        return blocks(plan), plan["Execution Time"]

    async def churn(times):
        """Runs are queued, claimed and ended; returns the floors that their process has reached."""
        slowest = 0.0
        async with claimer() as taker, database("producer") as producer:
            for _ in range(times):
                await producer.fetch(_ENQUEUE, {"task": task.pk, "count": BATCH})
                began = time.perf_counter()
                taken = await taker.claim(limit=BATCH)
                slowest = max(slowest, time.perf_counter() - began)
                assert len(taken) == BATCH
                await producer.fetch(_END, {"run_ids": Uuids(each.run_id for each in taken)})
            return taker._floors.parameters(now=taker._floors._full_at)

    with psycopg.connect(conninfo(), application_name="a forgotten report") as held:
        held.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        held.execute("SELECT count(*) FROM scheduling_duework")

        few, few_ms = claim_cost(run(churn(2)))
        many, many_ms = claim_cost(run(churn(CHURNED // BATCH - 2), within=300))
        without, _ = claim_cost(Floors(["default"]).parameters(now=0.0))
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_stat_force_next_flush()")
            cursor.execute("VACUUM (SKIP_LOCKED) scheduling_duework")
        bloat = read_bloat()

    assert many <= few * 1.5, (few, many)
    assert many_ms <= few_ms * 5 + 5, (few_ms, many_ms)
    # The rows are there all the same: the probe of each second, without a floor, passes over them (2,462 pages read).
    assert many * 3 < without < CHURNED / 15, (many, without)
    [queue] = [table for table in bloat.tables if table.name == "scheduling_duework"]
    assert queue.dead >= CHURNED
    assert bloat.holder is not None
    assert bloat.holder.application == "a forgotten report"
