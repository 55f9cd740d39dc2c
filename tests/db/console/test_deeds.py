"""What the buttons do: one operation each, audited under the operator's name, and said in words."""

import pytest
from django.contrib.messages import get_messages
from django.test import Client

from scheduling.audit.models import AuditEntry
from scheduling.runs.models import DueWork, Run
from tests.factories import (
    AgentFactory,
    AgentTokenFactory,
    DueWorkFactory,
    RunFactory,
    ScheduleFactory,
    TaskFactory,
)

pytestmark = pytest.mark.django_db


def told(answer) -> str:
    return " ".join(str(message) for message in get_messages(answer.wsgi_request))


def test_run_now_queues_a_run_and_links_to_it(operator: Client):
    task = TaskFactory()

    answer = operator.post(f"/admin/scheduling/task/{task.pk}/do/run/")

    run = Run.objects.get(task=task)
    assert DueWork.objects.filter(run=run).exists()
    assert run.triggered_by.startswith("operator:")
    assert f"/admin/scheduling/run/{run.pk}/change/" in told(answer)
    assert AuditEntry.objects.get(action="run.start").actor_kind == "operator"


def test_a_run_with_other_params_is_simulated_when_asked(operator: Client):
    task = TaskFactory(params={"city": "Paris", "limit": 1})

    operator.post(f"/admin/scheduling/task/{task.pk}/start/", {"params": '{"city": "Rome"}', "simulate": "on"})

    run = Run.objects.get(task=task)
    assert run.simulated
    assert run.params == {"city": "Rome", "limit": 1}


@pytest.mark.parametrize("params", ["{", "[1]", '"text"'])
def test_params_that_are_no_object_start_nothing(operator: Client, params: str):
    task = TaskFactory()

    answer = operator.post(f"/admin/scheduling/task/{task.pk}/start/", {"params": params})

    assert "params" in told(answer).lower()
    assert not Run.objects.exists()


def test_pausing_and_resuming_change_the_task_through_the_operation(operator: Client):
    task = TaskFactory()

    operator.post(f"/admin/scheduling/task/{task.pk}/do/pause/")
    task.refresh_from_db()
    paused = task.state
    operator.post(f"/admin/scheduling/task/{task.pk}/do/resume/")
    task.refresh_from_db()

    assert (paused, task.state) == ("paused", "active")
    assert list(AuditEntry.objects.order_by("id").values_list("action", flat=True)) == ["task.pause", "task.resume"]


def test_what_an_operation_refuses_is_a_message(operator: Client):
    run = RunFactory(succeeded=True)

    answer = operator.post(f"/admin/scheduling/run/{run.pk}/do/cancel/")

    assert "cannot be canceled" in told(answer)
    assert not AuditEntry.objects.exists()


def test_a_list_does_what_it_can_and_tells_what_it_could_not(operator: Client):
    queued = [DueWorkFactory().run for _ in range(2)]
    ended = RunFactory(succeeded=True)
    chosen = [str(run.pk) for run in (*queued, ended)]

    answer = operator.post("/admin/scheduling/run/", {"action": "cancel", "_selected_action": chosen})

    assert "done for 2" in told(answer)
    assert "refused for 1" in told(answer)
    assert set(Run.objects.filter(pk__in=[run.pk for run in queued]).values_list("state", flat=True)) == {"canceled"}


def test_run_again_takes_the_params_of_the_run(operator: Client):
    run = RunFactory(dead=True, params={"city": "Rome"})

    operator.post(f"/admin/scheduling/run/{run.pk}/do/again/")

    again = Run.objects.exclude(pk=run.pk).get()
    assert again.params == {"city": "Rome"}
    assert again.task_id == run.task_id


def test_dead_letters_of_one_error_are_retried_together(operator: Client):
    same = [RunFactory(dead=True) for _ in range(3)]
    other = RunFactory(dead=True, error={"code": "other", "detail": "another"})

    page = operator.get("/admin/scheduling/run/dead-letters/")
    answer = operator.post("/admin/scheduling/run/dead-letters/", {"code": "refused", "cause": "permanent"})

    assert b"Retry 3" in page.content
    assert "done for 3" in told(answer)
    assert set(Run.objects.filter(pk__in=[run.pk for run in same]).values_list("state", flat=True)) == {"queued"}
    assert Run.objects.get(pk=other.pk).state == "failed"


def test_a_deleted_schedule_leaves_its_trail(author: Client):
    schedule = ScheduleFactory()

    answer = author.post(f"/admin/scheduling/schedule/{schedule.pk}/do/delete/")

    assert answer["Location"] == "/admin/scheduling/schedule/"
    assert not type(schedule).objects.exists()
    assert AuditEntry.objects.get().action == "schedule.delete"


def test_a_new_token_is_shown_once_and_kept_by_no_cache(admin: Client):
    agent = AgentFactory()

    answer = admin.post(f"/admin/scheduling/agent/{agent.pk}/issue/", {"name": "laptop"})

    token = agent.tokens.get()
    assert f"ord_{token.prefix}_".encode() in answer.content
    assert "no-store" in answer["Cache-Control"]
    assert f"ord_{token.prefix}_".encode() not in admin.get(f"/admin/scheduling/agent/{agent.pk}/change/").content


def test_a_rotated_token_is_refused_from_then_on(admin: Client):
    token = AgentTokenFactory()

    admin.post(f"/admin/scheduling/agenttoken/{token.pk}/rotate/")

    token.refresh_from_db()
    assert token.revoked_at is not None
    assert token.agent.tokens.filter(revoked_at=None).count() == 1


def test_a_disabled_agent_is_enabled_again(admin: Client):
    agent = AgentFactory()

    admin.post(f"/admin/scheduling/agent/{agent.pk}/do/disable/")
    agent.refresh_from_db()
    disabled_at = agent.disabled_at
    admin.post(f"/admin/scheduling/agent/{agent.pk}/do/enable/")
    agent.refresh_from_db()

    assert disabled_at is not None
    assert agent.disabled_at is None
