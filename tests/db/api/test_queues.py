"""Queues over the API: read by whoever sees workers, operated under a scope of its own."""

from datetime import timedelta

import pytest

from scheduling.agents.scopes import DEFAULT_SCOPES
from scheduling.audit.models import AuditEntry
from scheduling.instants import database_now
from scheduling.models import DueWork, Queue, Task
from tests.db.api.gateway import NOTE, assert_problem, gateway_of
from tests.factories import AgentFactory, DueWorkFactory, RunFactory, TaskFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator():
    return gateway_of("workers:read", "queues:operate")


def test_an_assistant_may_read_queues_but_not_operate_them(api):
    DueWorkFactory()

    assert "queues:operate" not in DEFAULT_SCOPES
    assert api.get("queues/default").json()["due"] == 1
    assert "queues:operate" in assert_problem(api.post("queues/default/pause"), 403, "scope_missing")["detail"]
    assert_problem(api.patch("queues/default", {"weight": 2}), 403, "scope_missing")


def test_a_queue_is_paused_with_reason_and_end_and_resumed(operator):
    until = (database_now() + timedelta(hours=1)).replace(microsecond=0)

    paused = operator.post("queues/default/pause", {"reason": "the printer burns", "until": until.isoformat()}).json()
    resumed = operator.post("queues/default/resume").json()

    assert (paused["paused"], paused["pause_reason"]) == (True, "the printer burns")
    assert paused["paused_until"] == until.isoformat().replace("+00:00", "Z")
    assert paused["allowed_actions"] == ["update", "pause", "resume"]
    assert (resumed["paused"], resumed["paused_at"], resumed["pause_reason"]) == (False, None, "")
    assert list(AuditEntry.objects.filter(object_kind="queue").order_by("id").values_list("actor_kind", "action")) == [
        ("agent", "queue.pause"),
        ("agent", "queue.resume"),
    ]


def test_rates_fairness_and_weight_are_changed_one_by_one(operator):
    operator.patch("queues/mail", {"rate": {"limit": 100, "period": "PT1M"}})
    shown = operator.patch("queues/mail", {"fair": True, "weight": 3}).json()

    assert (shown["rate"], shown["fair"], shown["weight"]) == (
        {"limit": 100, "period": "PT1M", "burst": 100},
        True,
        3,
    )
    assert operator.patch("queues/mail", {"rate": None}).json()["rate"] is None


def test_a_queue_that_is_nobodys_is_not_there(operator):
    TaskFactory(queue="email")

    problem = assert_problem(operator.post("queues/emial/pause"), 404, "not_found")

    assert "'email'" in problem["hint"]
    assert_problem(operator.get("queues/emial"), 404, "not_found")
    assert not Queue.objects.exists()


def test_the_list_has_queues_that_hold_something_and_those_that_are_operated(operator):
    DueWorkFactory(run=RunFactory(task=TaskFactory(queue="busy")))
    operator.patch("queues/quiet", {"weight": 2})

    items = operator.get("queues").json()["items"]

    assert [(item["queue"], item["due"], item["weight"], item["updated_at"] is None) for item in items] == [
        ("busy", 1, 1, True),
        ("quiet", 0, 2, False),
    ]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"rate": {"limit": 1}}, "/rate/period"),
        ({"weight": 0}, "/weight"),
        ({"is_fair": True}, "/is_fair"),
        ({"rate": {"limit": 1, "period": "PT1M", "key": "x"}}, "/rate/key"),
    ],
)
def test_a_bad_change_is_located_and_stores_nothing(operator, body, pointer):
    problem = assert_problem(operator.patch("queues/default", body), 422, "not_valid")

    assert [error["pointer"] for error in problem["errors"]] == [pointer]
    assert not Queue.objects.exists()


def test_a_pause_is_repeated_by_its_idempotency_key_without_another_entry(operator):
    for _ in range(2):
        operator.post("queues/default/pause", {"reason": "once"}, headers={"Idempotency-Key": "pause-1"})

    assert AuditEntry.objects.filter(action="queue.pause").count() == 1


def test_a_task_takes_a_rate_beside_its_key_and_shows_it(api):
    concurrency = {"key": "api", "limit": 5, "rate": {"limit": 10, "period": "PT1M"}}

    made = api.post("tasks", {"key": "limited", "title": "t", "pipeline": NOTE, "concurrency": concurrency}).json()
    task = Task.objects.get()

    assert made["concurrency"] == concurrency
    assert (task.rate_limit, task.rate_period) == (10, timedelta(minutes=1))

    changed = api.patch(f"tasks/{task.pk}", {"concurrency": {"key": "api", "limit": 5}}).json()

    assert changed["concurrency"] == {"key": "api", "limit": 5, "rate": None}


def test_a_changed_rate_holds_for_the_runs_that_wait(api):
    concurrency = {"key": "api", "limit": 50, "rate": {"limit": 1, "period": "PT1H"}}
    task = api.post("tasks", {"key": "limited", "title": "t", "pipeline": NOTE, "concurrency": concurrency}).json()
    for _ in range(3):
        api.post(f"tasks/{task['id']}/run")
    before = DueWork.objects.filter(gate=None).count()

    api.patch(f"tasks/{task['id']}", {"concurrency": {"key": "api", "limit": 50}})

    assert (before, DueWork.objects.filter(gate=None).count()) == (1, 3)


@pytest.mark.parametrize(
    ("concurrency", "pointer"),
    [
        ({"rate": {"limit": 1, "period": "PT1M"}}, "/concurrency/limit"),
        ({"key": "a", "limit": 1, "rate": {"limit": 1}}, "/concurrency/rate/period"),
        ({"key": "a", "limit": 1, "rate": {"limit": 1, "period": "PT0S"}}, "/concurrency/rate/period"),
    ],
)
def test_a_rate_of_a_task_needs_a_limit_and_a_period(api, concurrency, pointer):
    answer = api.post("tasks", {"key": "limited", "title": "t", "pipeline": NOTE, "concurrency": concurrency})

    assert [error["pointer"] for error in assert_problem(answer, 422, "not_valid")["errors"]] == [pointer]
    assert not Task.objects.exists()


def test_starts_of_a_fair_queue_carry_their_agent_and_others_none(api):
    agent = AgentFactory()
    Queue.objects.create(name="fair", is_fair=True)
    for queue in ("fair", "default"):
        task = api.post("tasks", {"key": queue, "title": "t", "pipeline": NOTE, "queue": queue}).json()
        api.post(f"tasks/{task['id']}/run")

    found = dict(DueWork.objects.values_list("queue", "agent_id"))

    assert found == {"fair": api.agent.pk, "default": None}
    assert agent.pk not in found.values()
