"""What the page of a run says of the events and runs that it waits for, and of the run it belongs to."""

from typing import Any

import pytest
from django.test import Client

from scheduling.models import Run
from tests.factories import DueWorkFactory, QuestionFactory, RunFactory, StepRunFactory

pytestmark = pytest.mark.django_db


def waiting(**question: Any) -> Run:
    work = DueWorkFactory(run=RunFactory(state="waiting"))
    QuestionFactory(run=work.run, path="wait", **question)
    return work.run


def page_of(run: Run) -> str:
    return f"/admin/scheduling/run/{run.pk}/change/"


def text(answer: Any) -> str:
    assert answer.status_code == 200, answer.status_code
    return answer.content.decode()


def test_an_event_is_told_with_its_topic_and_filter(operator: Client):
    run = waiting(kind="event", topic="order.*", asks={"topic": "order.*", "filter": "event.payload.n > `1`"})

    shown = text(operator.get(page_of(run)))

    assert "event of <code>order.*</code> where <code>event.payload.n &gt; `1`</code>" in shown
    assert "waits for an event of order.* for which" in shown


def test_a_run_is_told_and_linked_from_both_sides(operator: Client):
    child = RunFactory()
    run = waiting(kind="run", subject_id=child.pk, asks={"task": "weekly-report", "params": {}, "waits": True})
    StepRunFactory(run=run, path="wait", kind="run", state="started")
    Run.objects.filter(pk=child.pk).update(parent=run, trigger_kind="run")

    shown, below = text(operator.get(page_of(run))), text(operator.get(page_of(child)))
    listed = text(operator.get(f"/admin/scheduling/run/?parent_id={run.pk}"))

    assert f'href="{page_of(child)}"' in shown
    assert f'href="/admin/scheduling/run/?parent_id={run.pk}"' in shown
    assert f'href="{page_of(run)}"' in below
    assert str(child.pk) in listed
    assert str(run.pk) not in listed.split("results")[-1]


def test_a_run_that_is_about_to_start_is_told(operator: Client):
    shown = text(operator.get(page_of(waiting(kind="run", asks={"task": "weekly-report", "params": {}}))))

    assert "run of <code>weekly-report</code>, about to start" in shown
