"""A task is simulated on a page of the console by whoever may see it; the answer has its asserts."""

from typing import Any

from django.test import Client

from scheduling.models import Run, Task
from tests.factories import TaskFactory, TaskRevisionFactory

DOCUMENT: dict[str, Any] = {
    "version": 1,
    "params": {"to": "me@example.com", "n": 2},
    "steps": [
        {"id": "nap", "wait": {"for": "PT1H"}},
        {"id": "mail", "uses": "email.send", "with": {"to": "${params.to}", "subject": "<b>Tea</b>", "text": "now"}},
    ],
    "outputs": {"n": "${params.n}"},
    "assert": ["outputs.n == 3", "outputs.n > 9"],
}


def task_with(document: dict[str, Any]) -> tuple[Task, str]:
    task = TaskFactory()
    task.current_revision = TaskRevisionFactory(task=task, document=document, number=2)
    task.save()
    return task, f"/admin/scheduling/task/{task.pk}/simulate/"


def test_a_viewer_simulates_a_task_and_sees_steps_outputs_and_asserts(viewer: Client):
    task, address = task_with(DOCUMENT)

    asked = viewer.get(f"/admin/scheduling/task/{task.pk}/change/").content.decode()
    page = viewer.post(address, {"params": '{"n": 3}', "event": ""}).content.decode()

    assert f'action="{address}"' in asked
    assert "outputs.n == 3" in page
    assert (page.count("It holds."), page.count("It does not hold.")) == (1, 1)
    assert page.count("<td>PT1H</td>") == 2
    assert "params.to" in page, "an expression of the mail"
    assert "me@example.com" in page
    assert "<b>Tea" not in page
    assert Run.objects.count() == 0


def test_what_is_wrong_is_told_on_the_page(viewer: Client):
    _, address = task_with({**DOCUMENT, "steps": [{"uses": "no.such"}]})

    invalid = viewer.post(address, {"params": "{}"}).content.decode()
    malformed = viewer.post(address, {"params": "{"}).content.decode()
    listed = viewer.post(address, {"params": "[1]"}).content.decode()

    assert "unknown_tool" in invalid
    assert "The params field is no JSON" in malformed
    assert "The params field must be a JSON object" in listed


def test_nobody_else_sees_it(client_of, viewer: Client):
    _, address = task_with(DOCUMENT)

    assert client_of(None).get(address).status_code in (302, 403)
    assert Client().get(address).status_code == 302
    assert viewer.get(address).status_code == 200
    assert viewer.get("/admin/scheduling/task/00000000-0000-7000-8000-000000000000/simulate/").status_code == 404
