"""A turn of retention reads a bounded number of pages, also over a large table in which nothing is to be deleted."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection

from scheduling.ids import first_id_at
from tests.factories import TaskFactory
from tests.perf.workers.test_plans import explain, nodes
from workers.columns import Texts, Uuids
from workers.retention.kinds import KINDS, NO_ID
from workers.retention.turns import CLOCKS_APART
from workers.statements import DELETE_RUNS, OLD_RUNS, PRUNE_ARTIFACTS, PRUNE_EVENTS, SURPLUS_RUNS

pytestmark = pytest.mark.django_db(transaction=True)

ROWS = 150_000
LOOK = 5_000

# Made in the order of their ids from 80 to 40 days ago, as the clock does. All failed, and those are kept for 90 days.
_FILL = """
WITH made AS (
    SELECT now() - interval '80 days' + n * interval '40 days' / %(rows)s AS at, n
    FROM generate_series(1, %(rows)s) AS n
)
INSERT INTO scheduling_run (
    id, task_id, revision_id, agent_id, trigger_kind, state, cause, skip_reason, attempt, simulated, triggered_by,
    created_at, started_at, finished_at
)
SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || lpad(to_hex(n %% 4096), 3, '0')
        || '8' || lpad(to_hex(n), 15, '0'))::uuid,
    %(task)s, %(revision)s, %(agent)s, 'manual', %(state)s, %(cause)s, '', 1, false, '', at, at, at
FROM made ORDER BY n
"""


def fill(state="failed", **task_fields):
    task = TaskFactory(**task_fields)
    with connection.cursor() as cursor:
        cursor.execute(
            _FILL,
            {
                "rows": ROWS,
                "task": task.pk,
                "revision": task.current_revision.pk,
                "agent": task.agent_id,
                "state": state,
                "cause": "permanent" if state == "failed" else "",
            },
        )
        cursor.execute("ANALYZE scheduling_run")
        cursor.execute(
            "INSERT INTO workers_steprun (run_id, path, attempt, run_attempt, kind, uses, state, output_artifact,"
            " is_simulated, is_tolerated) SELECT id, 'a', 1, 1, 'tool', '', 'succeeded', '', false, false"
            " FROM scheduling_run"
        )
        cursor.execute("ANALYZE workers_steprun")


def parameters(after=NO_ID, *, age=timedelta(days=30), limit=1000, states=("succeeded",)):
    return {
        "after": after,
        "before": first_id_at(datetime.now(UTC) - age),
        "made_before": first_id_at(datetime.now(UTC) - age + CLOCKS_APART),
        "age": age,
        "states": Texts(states),
        "limit": limit,
        "look": LOOK,
    }


def blocks(plan):
    return plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]


def whole_scans(plan):
    return {node.get("Relation Name") for node in nodes(plan) if node["Node Type"] == "Seq Scan"}


def test_a_page_in_which_nothing_is_old_is_bounded_whatever_the_size_of_the_table():
    fill()

    plan = explain(OLD_RUNS, parameters())["Plan"]

    assert "scheduling_run" not in whole_scans(plan)
    assert {node["Index Name"] for node in nodes(plan) if "Index Name" in node} <= {
        "scheduling_run_pkey",
        "scheduling_task_pkey",
    }
    assert blocks(plan) < 600, blocks(plan)


def test_a_walk_that_rests_reads_a_handful_of_pages():
    fill()
    with connection.cursor() as cursor:
        cursor.execute("SELECT id::text FROM scheduling_run ORDER BY id DESC LIMIT 1")
        (last,) = cursor.fetchone()

    plan = explain(OLD_RUNS, parameters(after=last))["Plan"]

    assert blocks(plan) < 20, blocks(plan)


@pytest.mark.parametrize("pause_after_failures", [None, 10])
def test_runs_are_deleted_by_their_keys(pause_after_failures):
    fill("succeeded", pause_after_failures=pause_after_failures)
    with connection.cursor() as cursor:
        cursor.execute("SELECT id FROM scheduling_run ORDER BY id LIMIT 1000")
        found = [run_id for (run_id,) in cursor.fetchall()]
        cursor.execute(
            "INSERT INTO scheduling_idempotencyrecord (actor_id, key, fingerprint, status, headers)"
            " SELECT 'run:' || id, 'k', 'f', 202, '{}' FROM scheduling_run"
        )
        cursor.execute("ANALYZE scheduling_idempotencyrecord")

    plan = explain(DELETE_RUNS, {"run_ids": Uuids(found), "steps": 20_000})["Plan"]

    assert not whole_scans(plan) & {"scheduling_run", "workers_steprun", "scheduling_idempotencyrecord"}
    assert blocks(plan) < 60 * len(found), blocks(plan)


@pytest.mark.parametrize(
    ("kind", "statement", "fill_with"),
    [
        (
            "events",
            PRUNE_EVENTS,
            "INSERT INTO scheduling_event (id, topic, payload, depth, created_at)"
            " SELECT (lpad(to_hex(n), 12, '0') || '70008000000000000000')::uuid, 't', '{}', 0, now()"
            " FROM generate_series(1, %s) AS n",
        ),
        (
            "artifacts",
            PRUNE_ARTIFACTS,
            "INSERT INTO workers_artifact (digest, content, size, created_at)"
            " SELECT md5(n::text) || md5(n::text), 'x', 1, now() FROM generate_series(1, %s) AS n",
        ),
    ],
)
def test_other_kinds_read_a_page_too(kind, statement, fill_with):
    fill()
    with connection.cursor() as cursor:
        cursor.execute(fill_with, [ROWS])
        cursor.execute("ANALYZE")

    plan = explain(statement, parameters(KINDS[kind].first))["Plan"]

    assert not whole_scans(plan) & {"scheduling_event", "workers_artifact", "scheduling_run", "workers_steprun"}
    # Artifacts stand in the order of their digests and were written in another: a page a row at the most.
    assert blocks(plan) < 3 * LOOK, blocks(plan)


def test_events_are_pruned_beside_any_number_of_live_runs():
    """All of them older than the events that go, and none waits for any."""
    fill("queued")
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO scheduling_duework (run_id, task_id, queue, priority, available_at, attempt, claim_count,"
            " handback_count, death_count, is_suspect, is_exclusive)"
            " SELECT id, task_id, 'default', 5, created_at, 1, 0, 0, 0, false, false FROM scheduling_run"
        )
        cursor.execute("ANALYZE")

    plan = explain(PRUNE_EVENTS, parameters(KINDS["events"].first))["Plan"]

    assert not whole_scans(plan) & {"scheduling_run", "scheduling_duework"}
    assert blocks(plan) < 10_000, blocks(plan)


@pytest.mark.parametrize("kept", [{"keep_runs": 1000}, {"keep_for": timedelta(days=100)}])
def test_of_a_task_with_many_runs_no_more_are_read_than_stay_and_go(kept):
    fill("succeeded", **kept)

    plan = explain(SURPLUS_RUNS, parameters(KINDS["surplus"].first))["Plan"]

    assert "scheduling_run" not in whole_scans(plan)
    assert blocks(plan) < 5_000, blocks(plan)
