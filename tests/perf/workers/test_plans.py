"""The plans of the hot statements, over tables large enough to tempt the planner."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection

from scheduling.models import DueWork
from tests.factories import TaskFactory
from tests.workers_support import run
from workers.columns import Texts, Uuids
from workers.connection import Database, conninfo
from workers.floors import Floors
from workers.statements import CLAIM, NEXT_DUE, WATCH

pytestmark = pytest.mark.django_db(transaction=True)

ROWS = 100_000

_FILL = """
INSERT INTO scheduling_duework (
    run_id, task_id, queue, priority, available_at, attempt, claim_count, handback_count, death_count, is_suspect,
    is_exclusive
)
SELECT gen_random_uuid(), %s, 'default', 1 + n %% 9, now() + %s::interval + n * interval '1 millisecond',
    1, 0, 0, 0, false, false
FROM generate_series(1, %s) AS n
"""


def fill(offset):
    task = TaskFactory()
    with connection.cursor() as cursor:
        cursor.execute(_FILL, [task.pk, offset, ROWS])
        cursor.execute("ANALYZE scheduling_duework")


def explain(statement, parameters):
    """The plan with what it really read, on a connection as workers have it."""

    async def ask():
        opened = Database(name="plans", address=conninfo(), limit=timedelta(seconds=30))
        try:
            rows = await opened.fetch(b"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + statement, parameters)
        finally:
            await opened.close()
        return rows[0][0][0]

    return run(ask(), within=60)


def nodes(plan):
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def scans(plan):
    return {
        (node["Node Type"], node.get("Index Name"))
        for node in nodes(plan)
        if node.get("Relation Name") == "scheduling_duework" and "Scan" in node["Node Type"]
    }


def claim_parameters(limit):
    return {
        **Floors(["default"]).parameters(now=0.0),
        "limit": limit,
        "metered": Texts(),
        "boot_id": "00000000-0000-0000-0000-000000000001",
    }


def test_a_claim_probes_its_index_and_reads_no_more_than_it_takes():
    fill("-1 day")
    fill("1 day")

    plan = explain(CLAIM, claim_parameters(20))["Plan"]

    assert scans(plan) <= {
        ("Index Scan", "due_work_claim_idx"),
        ("Index Only Scan", "due_work_claim_idx"),
        ("Index Scan", "scheduling_duework_pkey"),
    }
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 800


def test_rows_that_sleep_cost_a_claim_nothing():
    fill("1 day")

    plan = explain(CLAIM, claim_parameters(20))["Plan"]

    assert DueWork.objects.filter(available_at__gt=datetime.now(UTC)).count() == ROWS
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 100


def test_what_becomes_due_next_is_one_entry_of_each_probe():
    fill("-1 day")
    fill("0.2 s")
    floors = Floors(["default"]).parameters(now=0.0)

    plan = explain(NEXT_DUE, {"queues": floors["queues"], "priorities": floors["priorities"], "horizon": 1.0})["Plan"]

    assert {index for _, index in scans(plan)} == {"due_work_claim_idx"}
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 100


def test_the_watch_goes_by_the_primary_key():
    fill("-1 day")
    held = list(DueWork.objects.values_list("pk", flat=True)[:20])

    plan = explain(WATCH, {"run_ids": Uuids(held), "boot_id": "00000000-0000-0000-0000-000000000001"})["Plan"]

    indexes = {node["Index Name"] for node in nodes(plan) if "Index Name" in node}
    assert indexes == {"scheduling_duework_pkey"}
    assert not [kind for kind, _ in scans(plan) if kind == "Seq Scan"]
