"""Workers through the API: what they do, how they are, and draining them."""

from datetime import UTC, datetime, timedelta

import pytest

from scheduling.audit.models import AuditEntry
from tests.db.api.gateway import assert_problem, gateway_of
from tests.factories import AgentFactory, DueWorkFactory, WorkerFactory
from workers.models import Worker

pytestmark = pytest.mark.django_db

EPOCH = 1


def held_by(worker, *, agent=None, step=None):
    """A run that the worker holds and has told of."""
    fields = {"run__task__agent": agent} if agent else {}
    now = datetime.now(UTC)
    work = DueWorkFactory(lease_owner=worker.boot_id, lease_epoch=EPOCH, claimed_at=now, **fields)
    worker.doing = [*(worker.doing or []), [str(work.pk), step, now.isoformat() if step else None]]
    worker.running_count += 1
    worker.save()
    return work


def test_a_worker_is_shown_with_its_runs_and_the_step_that_is_open():
    gateway = gateway_of("workers:read", "all:read")
    worker = WorkerFactory(beat_at=datetime.now(UTC) - timedelta(seconds=3), last_error="a slot failed: OSError: no")
    work = held_by(worker, step="send")
    gone = WorkerFactory(state="lost", stopped_at=datetime.now(UTC), state_reason="its beat stood still for 15 s")

    shown = gateway.get(f"workers/{worker.pk}").json()
    lost = gateway.get("workers?state=lost").json()["items"]

    assert [run["run"] for run in shown["runs"]] == [str(work.pk)]
    assert (shown["runs"][0]["step"], shown["runs"][0]["task"]) == ("send", str(work.task_id))
    assert (shown["host"], shown["release"]) == ("host.example", "0.1.0")
    assert (shown["queues"], shown["slots"], shown["running"]) == (["default"], 4, 1)
    assert 2 < shown["beat_age_seconds"] < 60
    assert shown["last_error"] == "a slot failed: OSError: no"
    assert shown["allowed_actions"] == ["drain"]
    assert [each["id"] for each in lost] == [str(gone.pk)]
    assert (lost[0]["state_reason"], lost[0]["beat_age_seconds"], lost[0]["allowed_actions"]) == (
        "its beat stood still for 15 s",
        None,
        [],
    )


def test_a_run_that_the_worker_lost_since_its_beat_is_left_out():
    worker = WorkerFactory()
    work = held_by(worker)
    work.lease_owner = WorkerFactory().boot_id
    work.save()

    assert gateway_of("workers:read", "all:read").get(f"workers/{worker.pk}").json()["runs"] == []


def test_an_agent_sees_its_own_runs_of_a_worker_and_no_errors_of_others():
    agent = AgentFactory(scopes=["workers:read"])
    worker = WorkerFactory(last_error="the engine failed in run 1: KeyError: 'secret'")
    mine = held_by(worker, agent=agent)
    held_by(worker)

    shown = gateway_of(agent=agent).get("workers").json()["items"][0]

    assert [run["run"] for run in shown["runs"]] == [str(mine.pk)]
    assert (shown["running"], shown["last_error"]) == (2, "")


def test_the_list_of_workers_costs_the_same_however_many_there_are(django_assert_max_num_queries):
    gateway = gateway_of("workers:read", "all:read")
    for _ in range(5):
        held_by(WorkerFactory())

    with django_assert_max_num_queries(6):
        assert len(gateway.get("workers").json()["items"]) == 5


def test_a_drain_is_written_down_audited_and_asked_once():
    gateway = gateway_of("workers:read", "workers:write")
    worker = WorkerFactory()

    answer = gateway.post(f"workers/{worker.pk}/drain", {"reason": "new kernel"})
    again = gateway.post(f"workers/{worker.pk}/drain")

    assert (answer.status_code, again.status_code) == (202, 202)
    assert answer.json()["state"] == "running"
    assert answer.json()["allowed_actions"] == []
    assert answer.json()["drain_requested_at"] == again.json()["drain_requested_at"]
    assert "new kernel" in again.json()["state_reason"]
    entry = AuditEntry.objects.get(action="worker.drain")
    assert (entry.object_id, entry.after) == (str(worker.pk), {"reason": "new kernel", "host": "host.example"})


def test_a_whole_host_is_its_supervisors_processes_and_no_others():
    worker = WorkerFactory()
    sibling = WorkerFactory(supervisor_id=worker.supervisor_id)
    stranger = WorkerFactory()

    gateway_of("workers:write").post(f"workers/{worker.pk}/drain", {"whole_host": True})

    asked = set(Worker.objects.exclude(drain_requested_at=None).values_list("pk", flat=True))
    assert asked == {worker.pk, sibling.pk}
    assert stranger.pk not in asked


def test_a_drain_that_is_widened_to_the_whole_host_is_audited_with_its_own_reason_once():
    first, second = gateway_of("workers:write"), gateway_of("workers:write")
    worker = WorkerFactory()
    first.post(f"workers/{worker.pk}/drain", {"reason": "one"})
    wish = {"reason": "whole machine goes", "whole_host": True}

    answers = [second.post(f"workers/{worker.pk}/drain", wish) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [202, 202]
    one, whole = AuditEntry.objects.filter(action="worker.drain").order_by("pk")
    assert one.after == {"reason": "one", "host": worker.host}
    assert whole.after == {"reason": "whole machine goes", "host": worker.host, "whole_host": True}
    assert (whole.object_id, whole.actor_id != one.actor_id) == (str(worker.pk), True)
    worker.refresh_from_db()
    assert worker.drains_host
    assert worker.state_reason.endswith(": one")


def test_one_that_its_host_replaces_can_be_drained():
    worker = WorkerFactory(state="draining", state_reason="replaced after 5 runs")
    gateway = gateway_of("workers:read", "workers:write")

    assert gateway.get(f"workers/{worker.pk}").json()["allowed_actions"] == ["drain"]
    answers = [gateway.post(f"workers/{worker.pk}/drain", {"reason": "now"}) for _ in range(2)]

    assert [answer.json()["allowed_actions"] for answer in answers] == [[], []]
    assert answers[0].json()["state_reason"].endswith(": now")
    assert AuditEntry.objects.filter(action="worker.drain").count() == 1


def test_each_process_that_the_drain_of_a_host_changes_has_an_entry():
    worker = WorkerFactory()
    sibling = WorkerFactory(supervisor_id=worker.supervisor_id)
    stopping = WorkerFactory(supervisor_id=worker.supervisor_id, state="draining")
    gateway = gateway_of("workers:write")

    gateway.post(f"workers/{worker.pk}/drain", {"whole_host": True})
    gateway.post(f"workers/{sibling.pk}/drain", {"whole_host": True, "reason": "again"})

    entries = AuditEntry.objects.filter(action="worker.drain")
    assert sorted(entry.object_id for entry in entries) == sorted(str(each.pk) for each in (worker, sibling, stopping))
    assert {entry.after["reason"] for entry in entries} == {""}


@pytest.mark.parametrize("state", ["stopped", "lost"])
def test_one_that_has_ended_cannot_be_drained(state):
    worker = WorkerFactory(state=state)

    problem = assert_problem(gateway_of("workers:write").post(f"workers/{worker.pk}/drain"), 409, "illegal_transition")

    assert problem["allowed_actions"] == []
    assert not AuditEntry.objects.filter(action="worker.drain").exists()


def test_draining_needs_its_own_scope():
    worker = WorkerFactory()

    assert_problem(gateway_of("workers:read", "runs:write").post(f"workers/{worker.pk}/drain"), 403, "scope_missing")


def test_an_unknown_field_of_a_drain_is_refused():
    problem = assert_problem(
        gateway_of("workers:write").post(f"workers/{WorkerFactory().pk}/drain", {"now": True}), 422, "not_valid"
    )

    assert problem["errors"][0]["pointer"] == "/now"
