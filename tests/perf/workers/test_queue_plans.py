"""The plans of the claim where queues are operated, over tables large enough to tempt the planner."""

import time
import uuid
from collections import Counter
from datetime import timedelta

import pytest
from django.db import connection

from scheduling.audit.operations import Actor
from scheduling.models import ConcurrencyKey, DueWork, Queue
from scheduling.queues.operations import pause_queue, update_queue
from tests.factories import TaskFactory
from tests.perf.workers.test_plans import claim_parameters, explain, fill, nodes, scans
from tests.workers_support import claimer, run
from workers.columns import Instants, Smallints, Texts, Uuids
from workers.sharing import NOBODY
from workers.statements import CLAIM, CLAIM_FAIR, DUE_QUEUES, FAIR_HEADS, HELD_BACK, QUEUE_CONTROLS

pytestmark = pytest.mark.django_db(transaction=True)

ACTOR = Actor.system("tests")
SLEEPING = 1_000_000
AGENTS = 200

_SLEEP = """
INSERT INTO scheduling_duework (
    run_id, task_id, queue, priority, available_at, attempt, claim_count, handback_count, death_count, is_suspect,
    is_exclusive
)
SELECT gen_random_uuid(), %s, 'default', 1 + n %% 9, now() + interval '1 day' + n * interval '1 millisecond',
    1, 0, 0, 0, false, false
FROM generate_series(1, %s) AS n
"""

_FAIR = """
INSERT INTO scheduling_duework (
    run_id, task_id, agent_id, queue, priority, available_at, attempt, claim_count, handback_count, death_count,
    is_suspect, is_exclusive
)
SELECT gen_random_uuid(), %s, ('00000000-0000-7000-8000-' || lpad((n %% %s)::text, 12, '0'))::uuid, 'default',
    4 + n %% 3, now() - interval '1 day' + n * interval '1 millisecond', 1, 0, 0, 0, false, false
FROM generate_series(1, 100000) AS n
"""


def fill_fair():
    with connection.cursor() as cursor:
        cursor.execute(_FAIR, [TaskFactory().pk, AGENTS])
        cursor.execute("ANALYZE scheduling_duework")
    Queue.objects.create(name="default", is_fair=True)


def blocks(plan):
    return plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]


def operate_many_queues():
    Queue.objects.bulk_create(Queue(name=f"q{number}", weight=1 + number % 10) for number in range(30))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE scheduling_queue")


def test_a_million_sleeping_rows_and_many_operated_queues_leave_one_probe_a_priority():
    with connection.cursor() as cursor:
        cursor.execute(_SLEEP, [TaskFactory().pk, SLEEPING])
        cursor.execute("ANALYZE scheduling_duework")
    operate_many_queues()

    plan = explain(CLAIM, claim_parameters(20))["Plan"]

    probes = [
        node
        for node in nodes(plan)
        if node.get("Index Name") == "due_work_claim_idx" and node["Actual Loops"] and "Scan" in node["Node Type"]
    ]
    assert [node["Actual Loops"] for node in probes] == [9]
    assert scans(plan) <= {
        ("Index Scan", "due_work_claim_idx"),
        ("Index Only Scan", "due_work_claim_idx"),
        ("Index Scan", "scheduling_duework_pkey"),
    }
    assert blocks(plan) < 100
    read = [node for node in nodes(plan) if node.get("Relation Name") == "scheduling_queue"]
    assert sum(node["Actual Loops"] for node in read) <= 1


def test_a_paused_queue_is_not_even_probed():
    fill("-1 day")
    operate_many_queues()
    pause_queue(actor=ACTOR, name="default")

    plan = explain(CLAIM, claim_parameters(20))["Plan"]

    touched = [node for node in nodes(plan) if node.get("Relation Name") == "scheduling_duework"]
    assert sum(node["Actual Loops"] for node in touched if "Scan" in node["Node Type"]) == 0
    assert blocks(plan) < 20


def test_looking_for_due_queues_probes_and_reads_no_row():
    fill("-1 day")
    fill("1 day")
    parameters = {**claim_parameters(1), "fair": Texts()}

    plan = explain(DUE_QUEUES, parameters)["Plan"]

    assert {index for _, index in scans(plan)} == {"due_work_claim_idx"}
    assert blocks(plan) < 100


def test_the_agents_of_a_fair_queue_are_walked_not_counted():
    fill_fair()

    plan = explain(FAIR_HEADS, {"queue": "default", "after": NOBODY, "metered": Texts()})["Plan"]

    assert {index for _, index in scans(plan)} == {"due_work_fair_idx"}
    # 64 agents of three priorities, one probe each, four or five pages a probe, and one probe past the end.
    assert blocks(plan) < 193 * 6


def test_a_fair_claim_reads_what_it_deals():
    fill_fair()
    agents = sorted(set(DueWork.objects.values_list("agent_id", flat=True)))[:64]
    heads = [(agent, priority) for agent in agents for priority in (4, 5, 6)]
    oldest = DueWork.objects.order_by("available_at").first().available_at

    plan = explain(
        CLAIM_FAIR,
        {
            "queue": "default",
            "agents": Uuids(agent for agent, _ in heads),
            "priorities": Smallints(priority for _, priority in heads),
            "instants": Instants(oldest for _ in heads),
            "quota": 1,
            "limit": 40,
            "boot_id": uuid.uuid4(),
        },
    )["Plan"]

    assert scans(plan) <= {
        ("Index Scan", "due_work_fair_idx"),
        ("Index Only Scan", "due_work_fair_idx"),
        ("Index Scan", "scheduling_duework_pkey"),
    }
    assert blocks(plan) < 3000


def test_two_hundred_agents_with_a_hundred_thousand_rows_are_served_in_turn_and_quickly():
    fill_fair()

    async def claim():
        took = []
        async with claimer() as claims:
            batches = []
            for _ in range(20):
                began = time.perf_counter()
                batches.append(await claims.claim(limit=40))
                took.append(time.perf_counter() - began)
            return batches, sorted(took)[len(took) // 2]

    batches, median = run(claim(), within=60)

    taken = [work.run_id for batch in batches for work in batch]
    served = Counter(DueWork.objects.filter(pk__in=taken).values_list("agent_id", flat=True))
    assert len(taken) == 800
    assert set(served.values()) == {800 // AGENTS}
    assert timedelta(seconds=median) < timedelta(milliseconds=100)


def test_what_a_process_asks_each_second_is_answered_by_probes():
    fill_fair()
    operate_many_queues()

    plan = explain(QUEUE_CONTROLS, {"queues": Texts(["default", "other"])})["Plan"]

    assert {index for _, index in scans(plan)} == {"due_work_fair_idx"}
    assert blocks(plan) < 30


def test_a_limited_queue_with_much_due_claims_its_tokens_and_no_more():
    fill("-1 day")
    update_queue(actor=ACTOR, name="default", changes={"rate": {"limit": 25, "period": "PT1H"}})

    async def claim():
        async with claimer() as claims:
            return [len(await claims.claim(limit=20)) for _ in range(3)]

    assert run(claim()) == [20, 5, 0]


_WAITING = """
INSERT INTO scheduling_duework (
    run_id, task_id, queue, priority, available_at, gate, concurrency_key, attempt, claim_count, handback_count,
    death_count, is_suspect, is_exclusive
)
SELECT gen_random_uuid(), %s, 'default', 1 + n %% 9, now() - n * interval '1 millisecond', 'key',
    'agent:' || n %% 3, 1, 0, 0, 0, false, false
FROM generate_series(1, 30000) AS n
"""


def test_the_sweep_of_gates_costs_nothing_for_keys_that_nobody_waits_for():
    """Each value of a templated key leaves a row behind; six hundred thousand of them held the sweep up for seconds."""
    ConcurrencyKey.objects.bulk_create(ConcurrencyKey(key=f"old:{number}", limit=1) for number in range(20_000))
    with connection.cursor() as cursor:
        cursor.execute(_WAITING, [TaskFactory().pk])
        cursor.execute("ANALYZE scheduling_duework, scheduling_concurrencykey")
        cursor.execute(HELD_BACK.decode())
        found = {key for _, key in cursor.fetchall()}

    plan = explain(HELD_BACK, {})["Plan"]

    assert found == {"agent:0", "agent:1", "agent:2"}
    assert "scheduling_concurrencykey" not in {node.get("Relation Name") for node in nodes(plan)}
    assert blocks(plan) < 150
