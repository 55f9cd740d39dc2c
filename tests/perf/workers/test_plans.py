"""The plans of the hot statements, over tables large enough to tempt the planner."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from django.db import connection

from scheduling.models import DueWork
from scheduling.runs.states import RunState
from tests.factories import TaskFactory, WorkerFactory
from tests.workers_support import run
from workers.columns import Integers, Texts, Uuids
from workers.connection import Database, conninfo
from workers.floors import Floors
from workers.journal_rows import Entry, StepRow, columns_of, settlement_row
from workers.models import Worker
from workers.settlement import Settlement
from workers.statements import (
    BEAT,
    CLAIM,
    CLAIM_SUSPECT,
    DECLARE_LOST,
    GIVE_AWAY,
    JOURNAL,
    NEXT_DUE,
    RELEASE_UNKNOWN,
    SEE_SUSPECT,
    STRAY_OWNERS,
    WATCH,
)

pytestmark = pytest.mark.django_db(transaction=True)

ROWS = 100_000
BOOT = "00000000-0000-0000-0000-000000000001"

_FILL = """
INSERT INTO scheduling_duework (
    run_id, task_id, queue, priority, available_at, attempt, claim_count, handback_count, death_count, is_suspect,
    is_exclusive
)
SELECT gen_random_uuid(), %s, 'default', 1 + n %% 9, now() + %s::interval + n * interval '1 millisecond',
    1, 0, 0, 0, false, false
FROM generate_series(1, %s) AS n
"""


def fill(offset, *, rows=ROWS):
    task = TaskFactory()
    with connection.cursor() as cursor:
        cursor.execute(_FILL, [task.pk, offset, rows])
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
        "boot_id": BOOT,
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

    plan = explain(WATCH, {"run_ids": Uuids(held), "boot_id": BOOT})["Plan"]

    indexes = {node["Index Name"] for node in nodes(plan) if "Index Name" in node}
    assert indexes == {"scheduling_duework_pkey"}
    assert not [kind for kind, _ in scans(plan) if kind == "Seq Scan"]


def lease(runs):
    """Rows of the queue that a process holds, of a table whose statistics say that nothing is leased."""
    held = list(DueWork.objects.values_list("pk", flat=True)[:runs])
    DueWork.objects.filter(pk__in=held).update(lease_owner=BOOT, lease_epoch=7, claimed_at=datetime.now(UTC))
    return held


def settling(held):
    """What the journal is given by a process that ends these runs, one step each."""
    entries = [
        Entry(
            run_id,
            7,
            steps=[
                StepRow(run_id, "note", 1, 1, "set", "", "succeeded", None, b"{}", "", None, False, False, None, None)
            ],
            settlement=settlement_row(Settlement(state=RunState.SUCCEEDED, attempt=1, is_final=True)),
        )
        for run_id in held
    ]
    return {"boot_id": BOOT, **columns_of(entries)}


# In a short queue, too, which the planner would rather read as a whole.
@pytest.mark.parametrize("rows", [20_000, ROWS])
def test_a_settlement_finds_each_of_its_rows_by_its_key(rows):
    fill("-1 day", rows=rows)
    held = lease(200)

    plan = explain(JOURNAL, settling(held))["Plan"]

    assert not DueWork.objects.filter(pk__in=held).exists()
    assert scans(plan) == {("Index Scan", "scheduling_duework_pkey")}
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 200 * 50
    # Keys are given in the order in which steps ended, whatever order the join gives.
    (insert,) = [node for node in nodes(plan) if node.get("Relation Name") == "workers_steprun"]
    assert [node["Sort Key"] for node in nodes(insert) if "Sort Key" in node] == [["s.place"]]


def test_a_hand_over_passes_over_the_queue_once_and_finds_the_rest_by_keys():
    fill("-1 day")
    held = lease(200)
    error = b'{"code":"quarantined"}'

    given = {"boot_ids": Uuids([UUID(BOOT)]), "limit": 3, "error": error, "canceled": error}
    plan = explain(GIVE_AWAY, given)["Plan"]

    assert DueWork.objects.filter(pk__in=held, gate="suspect").count() == 200
    passes = [node for node in nodes(plan) if node.get("Relation Name") == "scheduling_duework"]
    assert sum(node["Node Type"] == "Seq Scan" for node in passes) == 1


def fill_workers(rows=5_000):
    """Processes that have ended, and one that lives."""
    WorkerFactory(boot_id=BOOT)
    Worker.objects.bulk_create(
        [WorkerFactory.build(state="stopped", stopped_at=datetime.now(UTC), pid=number) for number in range(rows)]
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE workers_worker")


def relations(plan, name):
    return [node for node in nodes(plan) if node.get("Relation Name") == name]


def test_a_beat_finds_its_workers_by_their_keys_among_all_that_ever_were():
    fill_workers()
    columns = {"running_counts": Integers([3]), "doings": Texts(["[]"]), "errors": Texts(["it broke"])}

    plan = explain(BEAT, {"boot_ids": Uuids([UUID(BOOT)]), **columns})["Plan"]

    assert Worker.objects.get(pk=BOOT).beat_number == 1
    assert "Seq Scan" not in {node["Node Type"] for node in relations(plan, "workers_worker")}
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 100


def test_a_death_is_declared_by_the_key_of_the_process():
    fill_workers()

    plan = explain(DECLARE_LOST, {"boot_id": BOOT, "beat_number": 0, "reason": "silent"})["Plan"]

    assert Worker.objects.get(pk=BOOT).state == "lost"
    assert "Seq Scan" not in {node["Node Type"] for node in relations(plan, "workers_worker")}
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 100


@pytest.mark.parametrize("statement", ["stray_owners", "release_unknown"])
def test_what_is_looked_for_rarely_passes_over_the_queue_once(statement):
    fill("-1 day")
    fill_workers()
    held = lease(200)
    DueWork.objects.filter(pk__in=held[:100]).update(lease_owner=uuid4())

    asked = {
        "stray_owners": (STRAY_OWNERS, {}),
        "release_unknown": (RELEASE_UNKNOWN, {"run_ids": Uuids(held[150:]), "boot_id": BOOT}),
    }
    plan = explain(*asked[statement])["Plan"]

    assert sum(node["Node Type"] == "Seq Scan" for node in relations(plan, "scheduling_duework")) == 1
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 200 * 50


@pytest.mark.parametrize("statement", [SEE_SUSPECT, CLAIM_SUSPECT], ids=["see", "claim"])
@pytest.mark.parametrize("suspects", [0, 200])
def test_suspects_are_found_by_the_index_of_gates_among_all_that_is_due(statement, suspects):
    fill("-1 day")
    held = DueWork.objects.values_list("pk", flat=True)[:suspects]
    DueWork.objects.filter(pk__in=list(held)).update(gate="suspect", is_suspect=True)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE scheduling_duework")
    parameters = {"queues": Texts(["default"]), "boot_id": UUID(BOOT), "metered": Texts()}

    plan = explain(statement, parameters)["Plan"]

    used = {node["Index Name"] for node in nodes(plan) if "Index Name" in node}
    assert "due_work_gate_idx" in used
    assert not [node for node in nodes(plan) if node["Node Type"] == "Seq Scan" and "duework" in node["Relation Name"]]
