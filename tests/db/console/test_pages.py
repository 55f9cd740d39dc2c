"""Every page of the console opens for an admin, and each row of the engine is there to be read only."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin as django_admin
from django.test import Client
from django.urls import reverse

from tests.factories import (
    AgentFactory,
    AgentTokenFactory,
    CalendarFactory,
    DueWorkFactory,
    OperatorFactory,
    RunFactory,
    ScheduleFactory,
    StepRunFactory,
    TaskFactory,
    TaskRevisionFactory,
    WorkerFactory,
)

OURS = [model for model in apps.get_models() if model._meta.app_label in ("scheduling", "pipelines", "workers")]
ENGINE = [
    "scheduling.run",
    "scheduling.duework",
    "scheduling.event",
    "scheduling.outbox",
    "scheduling.auditentry",
    "scheduling.idempotencyrecord",
    "scheduling.miss",
    "scheduling.taskrevision",
    "scheduling.dedupekey",
    "scheduling.concurrencykey",
    "workers.steprun",
    "workers.wait",
    "workers.retention",
    "workers.worker",
    "workers.artifact",
    "django_apscheduler.djangojob",
    "django_apscheduler.djangojobexecution",
]
FACTORIES: dict[str, Callable[[], Any]] = {
    "agent": AgentFactory,
    "agenttoken": AgentTokenFactory,
    "operator": OperatorFactory,
    "task": TaskFactory,
    "taskrevision": TaskRevisionFactory,
    "schedule": ScheduleFactory,
    "calendar": CalendarFactory,
    "run": RunFactory,
    "duework": DueWorkFactory,
    "steprun": lambda: StepRunFactory(input={"a": 1}, output=[1, 2], run=RunFactory(dead=True)),
    "worker": WorkerFactory,
}


def changelist(model: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")


def page(obj: Any) -> str:
    return reverse(f"admin:{obj._meta.app_label}_{obj._meta.model_name}_change", args=[obj.pk])


def test_every_model_of_ours_is_in_the_console():
    missing = [model._meta.label for model in OURS if not django_admin.site.is_registered(model)]

    assert missing == []


@pytest.mark.parametrize("model", OURS, ids=lambda model: model._meta.label)
def test_every_list_opens_empty_and_with_a_search(admin: Client, model: Any):
    assert admin.get(changelist(model)).status_code == 200
    assert admin.get(changelist(model), {"q": "morning"}).status_code in (200, 302)


@pytest.mark.parametrize("name", FACTORIES)
def test_a_list_and_a_page_show_an_object(admin: Client, name: str):
    obj = FACTORIES[name]()

    assert admin.get(changelist(obj)).status_code == 200
    assert admin.get(page(obj)).status_code == 200


@pytest.mark.parametrize("label", ENGINE)
def test_rows_of_the_engine_are_changed_by_nobody(rf: Any, label: str):
    request = rf.get("/")
    request.user = OperatorFactory.build(admin=True)
    model_admin = django_admin.site._registry[apps.get_model(label)]

    assert not model_admin.has_add_permission(request)
    assert not model_admin.has_change_permission(request)
    assert not model_admin.has_delete_permission(request)
    assert "delete_selected" not in model_admin.get_actions(request)
    assert "run_selected_jobs" not in model_admin.get_actions(request)


@pytest.mark.parametrize("address", ["admin:index", "admin:dead_letters", "admin:tool_catalog"])
def test_the_pages_without_a_model_open(admin: Client, address: str):
    assert admin.get(reverse(address)).status_code == 200


def test_an_id_that_is_none_answers_not_found(admin: Client):
    assert admin.get("/admin/scheduling/run/none/change/").status_code == 404
    assert admin.get("/admin/scheduling/task/01980000-0000-7000-8000-000000000000/change/").status_code == 404


def test_history_leads_to_the_audit_trail_of_the_object(admin: Client):
    task = TaskFactory()

    answer = admin.get(reverse("admin:scheduling_task_history", args=[task.pk]))

    assert answer["Location"].endswith(f"/auditentry/?object_kind=task&object_id={task.pk}")
    assert admin.get(answer["Location"]).status_code == 200


def test_the_short_addresses_lead_to_the_console(client):
    for address in ("/", "/admin"):
        assert client.get(address).headers["Location"] == "/admin/"


def test_a_log_in_without_a_destination_lands_on_the_dashboard(client, db):
    operator = OperatorFactory(admin=True)

    answer = client.post("/admin/login/", {"username": operator.username, "password": "correct horse battery"})

    assert answer.headers["Location"] == "/admin/"


def test_quarantined_schedules_are_on_the_dashboard_and_in_the_list_with_their_reason(client, db):
    ScheduleFactory(
        state="quarantined",
        state_reason="cannot be planned: no such zone",
        next_fire_at=datetime(2031, 5, 6, tzinfo=UTC),
    )
    client.force_login(OperatorFactory(admin=True))

    assert "the others fire in time; 1 is quarantined" in client.get("/admin/").content.decode()
    listed = client.get("/admin/scheduling/schedule/?state=quarantined").content.decode()
    assert "cannot be planned: no such zone" in listed
    assert "2031-05-06" not in listed, "it does not fire then"


def test_the_dashboard_shows_schedules_that_nobody_fires(client, db):
    ScheduleFactory(next_fire_at=datetime.now(UTC) - timedelta(hours=2))
    client.force_login(OperatorFactory(admin=True))

    page = client.get("/admin/").content.decode()

    assert "Overdue" in page
    assert "no clock fires them, one for 2 h" in page
