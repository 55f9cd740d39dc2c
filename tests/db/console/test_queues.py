"""Queues in the console: seen by all, operated by operators."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from scheduling.agents.roles import Role
from scheduling.audit.models import AuditEntry
from scheduling.instants import database_now
from scheduling.models import Queue
from tests.factories import DueWorkFactory, RunFactory, TaskFactory

pytestmark = pytest.mark.django_db

LIST = "/admin/scheduling/queue/"
ADD = f"{LIST}add/"


def busy(name: str = "default") -> None:
    DueWorkFactory(run=RunFactory(task=TaskFactory(queue=name)))


def errors_of(answer: Any) -> dict[str, list[str]]:
    return {name: list(found) for name, found in answer.context["adminform"].form.errors.items()}


def test_the_page_shows_depth_and_pause_and_dangerous_words_as_text(viewer: Client):
    busy()
    Queue.objects.create(name="mail", paused_at=database_now(), pause_reason="<b>burns</b>", weight=3)

    page = viewer.get(LIST).content.decode()

    assert "paused" in page
    assert "&lt;b&gt;burns&lt;/b&gt;" in page
    assert "/pause/" not in page


def test_a_queue_without_a_row_is_paused_from_the_list_and_resumed(operator: Client):
    busy()

    page = operator.get(LIST).content.decode()
    operator.post(f"{LIST}of/default/pause/", {"reason": "the printer burns", "until": ""})
    paused = operator.get(LIST).content.decode()
    operator.post(f"{LIST}of/default/resume/")

    assert f"{LIST}of/default/pause/" in page
    assert "the printer burns" in paused
    assert Queue.objects.get().paused_at is None
    assert list(AuditEntry.objects.order_by("id").values_list("actor_kind", "action")) == [
        ("operator", "queue.pause"),
        ("operator", "queue.resume"),
    ]


@pytest.mark.parametrize("form", ["{:%Y-%m-%d %H:%M}", "{:%Y-%m-%dT%H:%M:%SZ}", "{:%Y-%m-%dT%H:%M:%S+00:00}"])
def test_a_pause_may_have_an_end_in_utc(operator: Client, form: str):
    busy()
    until = (database_now() + timedelta(days=1)).replace(second=0, microsecond=0)

    operator.post(f"{LIST}of/default/pause/", {"reason": "", "until": form.format(until)})

    assert Queue.objects.get().paused_until == until


def test_a_pause_that_cannot_be_is_refused_in_words(operator: Client):
    busy()

    page = operator.post(f"{LIST}of/default/pause/", {"until": "2020-01-01 08:00"}, follow=True).content.decode()

    assert "must lie ahead" in page
    assert not Queue.objects.exists()


@pytest.mark.parametrize("deed", ["pause", "resume"])
def test_who_may_only_look_operates_nothing(viewer: Client, deed: str):
    busy()

    assert viewer.post(f"{LIST}of/default/{deed}/").status_code == 403
    assert viewer.get(ADD).status_code == 403
    assert not Queue.objects.exists()


def test_a_pause_is_a_post_of_a_queue_that_is_there(operator: Client):
    assert operator.get(f"{LIST}of/default/pause/").status_code == 405
    assert operator.post(f"{LIST}of/nobodys/pause/").status_code == 404


def test_nobody_without_a_role_sees_queues(client_of: Callable[[Role | None], Client]):
    assert client_of(None).get(LIST).status_code == 403


def test_rates_are_set_by_a_form_and_shown(operator: Client):
    operator.post(ADD, {"name": "mail", "rate_limit": "60", "rate_period": "PT1M", "rate_burst": "5", "weight": "2"})
    queue = Queue.objects.get()
    operator.post(f"{LIST}mail/change/", {"rate_limit": "60", "rate_period": "PT1M", "weight": "2", "is_fair": "on"})

    queue.refresh_from_db()
    assert (queue.rate_limit, queue.rate_burst, queue.is_fair, queue.weight) == (60, None, True, 2)
    assert "60 in 1 min, 60 at once" in operator.get(LIST).content.decode()
    assert list(AuditEntry.objects.values_list("action", flat=True)) == ["queue.update"] * 2


def test_saving_a_queue_as_it_is_changes_nothing(operator: Client):
    Queue.objects.create(name="mail", rate_limit=5, rate_period=timedelta(minutes=1), is_fair=True, weight=4)
    form = operator.get(f"{LIST}mail/change/").context["adminform"].form

    operator.post(f"{LIST}mail/change/", {name: form[name].value() or "" for name in form.fields})

    assert not AuditEntry.objects.exists()


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("name", {"name": "a queue"}),
        ("rate_period", {"rate_limit": "60"}),
        ("rate_limit", {"rate_period": "PT1M"}),
        ("rate_period", {"rate_limit": "60", "rate_period": "soon"}),
        ("rate_burst", {"rate_limit": "60", "rate_period": "PT1M", "rate_burst": "-1"}),
        ("weight", {"weight": "11"}),
    ],
)
def test_what_is_wrong_is_told_on_its_field(operator: Client, field: str, changes: dict[str, str]):
    answer = operator.post(ADD, {"name": "mail", "weight": "1", **changes})

    assert field in errors_of(answer)
    assert not Queue.objects.exists()


def test_a_viewer_sees_a_queues_page_without_a_form(viewer: Client):
    Queue.objects.create(name="mail", rate_limit=5, rate_period=timedelta(minutes=1))

    page = viewer.get(f"{LIST}mail/change/").content.decode()

    assert "5 in 1 min" in page
    assert 'name="rate_limit"' not in page


def test_the_dashboard_shows_what_is_paused_even_where_it_is_empty(viewer: Client):
    busy()
    Queue.objects.create(name="default", paused_at=database_now(), pause_reason="the printer burns")
    Queue.objects.create(name="quiet", paused_at=database_now(), pause_reason="no need")

    page = viewer.get("/admin/").content.decode()

    assert "the printer burns" in page
    assert "no need" in page


def test_a_tasks_rate_is_set_in_its_form_and_shown_on_its_page(author: Client):
    task = TaskFactory(concurrency_key="api", concurrency_limit=5)
    form = author.get(f"/admin/scheduling/task/{task.pk}/edit/").context["adminform"].form
    written = {name: form[name].value() or "" for name in form.fields if name != "agent"}

    author.post(f"/admin/scheduling/task/{task.pk}/edit/", {**written, "rate_limit": "7", "rate_period": "PT2M"})

    task.refresh_from_db()
    assert (task.rate_limit, task.rate_period) == (7, timedelta(minutes=2))
    assert "7 in 2 min" in author.get(f"/admin/scheduling/task/{task.pk}/change/").content.decode()
