"""Runs that are done again from a step, through the worker and the API."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client

from pipelines.tools import registry
from scheduling.agents.roles import Role, assign
from scheduling.audit.operations import Actor
from scheduling.errors import IllegalTransition, NotValid
from scheduling.models import AuditEntry, DueWork, Event, Run
from scheduling.tasks.operations import archive_task, update_task
from tests.db.api.gateway import gateway_of
from tests.db.workers.test_execution import Tools, refusing, run_once
from tests.factories import OperatorFactory
from tests.invariants import broken_invariants
from tests.workers_support import due_work, run_of
from workers.models import StepRun
from workers.replays import replay_run

pytestmark = pytest.mark.django_db(transaction=True)

ACTOR = Actor.system("tests")
STEPS = [{"id": name, "uses": "test.call", "with": {"n": "${params.n}"}} for name in ("a", "b", "c")]
THREE = {"version": 1, "steps": STEPS, "outputs": {"a": "${steps.a.it}", "c": "${steps.c.it}"}}


@pytest.fixture(autouse=True)
def declared(settings: Any) -> Iterator[None]:
    """The tool of the tests is known to the host as one that is declared."""
    settings.ORDINAUT_SIMULATED_TOOLS = '{"test.call": {}}'
    registry.reset()
    yield
    registry.reset()


def ended(document: Any = THREE) -> Run:
    work = due_work(document, params={"n": 5})
    run_once(Tools(answers=[{"it": 1}, {"it": 2}, {"it": 3}]))
    return run_of(work)


def go_on(*answers: Any) -> Tools:
    tools = Tools(answers=list(answers) or [{"it": 9}])
    run_once(tools)
    return tools


def test_a_check_of_a_condition_is_no_run_of_the_task_and_is_not_replayed():
    run = ended()
    Run.objects.filter(pk=run.pk).update(trigger_kind="check")

    with pytest.raises(IllegalTransition, match="a condition is no run of the task"):
        replay_run(actor=ACTOR, run=run)

    assert Run.objects.count() == 1


@pytest.mark.parametrize(("begin", "called", "output"), [("", 3, {"a": 9, "c": 9}), ("c", 1, {"a": 1, "c": 9})])
def test_only_what_stands_behind_is_run_again(begin: str, called: int, output: Any):
    run = ended()

    made = replay_run(actor=ACTOR, run=run, from_step=begin)
    tools = go_on()

    made.refresh_from_db()
    assert (made.state, made.output, len(tools.calls)) == ("succeeded", output, called)
    assert (made.trigger_kind, made.replay_of_id, made.params) == ("replay", run.pk, {"n": 5})
    run.refresh_from_db()
    assert run.output == {"a": 1, "c": 3}
    assert AuditEntry.objects.get(action="run.replay").after["steps_kept"] == 3 - called
    assert broken_invariants() == {}


def test_a_failed_run_is_replayed_from_before_the_step_that_failed():
    work = due_work(THREE, params={"n": 5})
    run_once(Tools(answers=[{"it": 1}, {"it": 2}, ValueError("no")]))
    assert run_of(work).state == "failed"

    made = replay_run(actor=ACTOR, run=run_of(work), from_step="b")
    tools = go_on()

    made.refresh_from_db()
    assert (made.state, [path for path, *_ in tools.calls]) == ("succeeded", ["b", "c"])


@pytest.mark.parametrize("container", ["try", "parallel"])
def test_what_a_container_did_in_its_second_try_is_kept(container: str):
    inside = [{"id": "m", "uses": "test.call", "with": {}}]
    bodies: dict[str, dict[str, Any]] = {
        "try": {"try": inside, "finally": [{"id": "done", "set": {}}]},
        "parallel": {"parallel": {"branches": {"x": inside}}},
    }
    document = {
        "version": 1,
        "steps": [
            {"id": "box", "retry": {"max_attempts": 2, "initial": "PT0.01S"}, **bodies[container]},
            {"id": "after", "if": "steps.m.it == 1", "uses": "test.call", "with": {}},
        ],
        "outputs": {"m": "${steps.m.it}", "after": "${steps.after.it}"},
    }
    work = due_work(document, params={"n": 5})
    run_once(Tools(answers=[refusing(), {"it": 1}, {"it": 2}]))
    assert run_of(work).output == {"m": 1, "after": 2}

    made = replay_run(actor=ACTOR, run=run_of(work), from_step="after")
    tools = go_on({"it": 3})

    made.refresh_from_db()
    assert made.output == {"m": 1, "after": 3}
    assert len(tools.calls) == 1
    assert {step.path for step in StepRun.objects.filter(run=made)} - {"done"} == {"m", "box", "after"}


def test_the_newest_revision_may_be_run():
    run = ended()
    newer = {**THREE, "steps": [*STEPS[:2], {"id": "c", "set": {"it": "new"}}]}
    update_task(actor=ACTOR, task=run.task, changes={"pipeline": newer})

    same, newest = (replay_run(actor=ACTOR, run=run, from_step="c", newest=newest) for newest in (False, True))
    go_on()

    same.refresh_from_db()
    newest.refresh_from_db()
    assert (same.output["c"], newest.output["c"], newest.output["a"]) == (9, "new", 1)


def test_what_started_the_run_is_there_again():
    event = Event.objects.create(topic="a.b", payload={"x": 1})
    document = {
        "version": 1,
        "steps": [{"id": "s", "set": {"x": "${event.payload.x}"}}],
        "outputs": {"x": "${steps.s.x}"},
    }
    work = due_work(document)
    Run.objects.filter(pk=work.pk).update(event=event)
    run_once(Tools())

    made = replay_run(actor=ACTOR, run=run_of(work))
    go_on()

    made.refresh_from_db()
    assert made.output == {"x": 1}


def test_large_results_are_kept_too():
    work = due_work(THREE, params={"n": 5})
    run_once(Tools(answers=[{"it": "x" * 100_000}, {"it": 2}, {"it": 3}]))

    made = replay_run(actor=ACTOR, run=run_of(work), from_step="b")
    go_on()

    made.refresh_from_db()
    assert made.output["a"] == "x" * 100_000
    assert StepRun.objects.get(run=made, path="a").output_artifact


def test_what_cannot_be_replayed_is_refused():
    run = ended()
    with pytest.raises(NotValid) as unknown:
        replay_run(actor=ACTOR, run=run, from_step="d")
    assert [(each.pointer, each.code) for each in unknown.value.problems] == [("/from", "unknown_step")]
    live = due_work(THREE).run
    with pytest.raises(IllegalTransition):
        replay_run(actor=ACTOR, run=live)
    archive_task(actor=ACTOR, task=run.task)
    with pytest.raises(IllegalTransition):
        replay_run(actor=ACTOR, run=run)
    assert not Run.objects.filter(trigger_kind="replay").exists()


def test_the_api_replays_what_an_agent_may_see():
    run = ended({"version": 1, "steps": [{"id": "a", "set": {"it": 1}}, {"id": "b", "set": {"it": 2}}]})
    api = gateway_of(agent=run.agent)

    answer = api.post(f"runs/{run.pk}/replay", {"from": "b", "revision": "newest"})

    assert answer.status_code == 202, answer.content
    assert answer.json()["replay_of"] == str(run.pk)
    assert StepRun.objects.filter(run=answer.json()["id"]).count() == 1
    assert DueWork.objects.filter(pk=answer.json()["id"]).exists()
    assert api.post(f"runs/{run.pk}/replay", {"from": "nowhere"}).status_code == 422
    assert api.post(f"runs/{run.pk}/replay", {"to": "b"}).status_code == 422
    assert gateway_of().post(f"runs/{run.pk}/replay").status_code == 404


def test_the_console_replays_from_a_step():
    run = ended({"version": 1, "steps": [{"id": "a", "set": {"it": 1}}, {"id": "b", "set": {"it": 2}}]})
    address = f"/admin/scheduling/run/{run.pk}/"
    viewer, operator = Client(), Client()
    for client, role in ((viewer, Role.VIEWER), (operator, Role.OPERATOR)):
        person = OperatorFactory()
        assign(person, role)
        client.force_login(person)

    assert "Replay from here" not in viewer.get(f"{address}change/").content.decode()
    assert viewer.post(f"{address}replay/", {"from": "b"}).status_code == 403
    assert operator.get(f"{address}replay/").status_code == 405
    assert operator.get(f"{address}change/").content.decode().count("Replay from here") == 2
    refused = operator.post(f"{address}replay/", {"from": "nowhere"}, follow=True).content.decode()
    made = operator.post(f"{address}replay/", {"from": "b"}, follow=True).content.decode()

    assert "The document has no step" in refused
    assert "This run does it again." in made
    assert Run.objects.get(replay_of=run).step_runs.count() == 1
