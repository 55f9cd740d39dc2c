"""Redrives of many runs: previewed, counted again, carried out in batches, each run once."""

import io
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from scheduling.agents.roles import Role, assign
from scheduling.audit.models import AuditEntry
from scheduling.audit.operations import Actor
from scheduling.bulk import operations
from scheduling.bulk.models import BulkOperation
from scheduling.bulk.operations import cancel_operation, carry_on, create_redrive
from scheduling.models import DueWork, Run
from scheduling.runs.operations import retry_run
from tests.db.api.gateway import assert_problem, gateway_of
from tests.factories import AgentFactory, OperatorFactory, RunFactory, TaskFactory

pytestmark = pytest.mark.django_db

ACTOR = Actor.system("tests")
AN_HOUR_AGO = datetime.now(UTC) - timedelta(hours=1)


def dead(**fields):
    return RunFactory(dead=True, **{"finished_at": AN_HOUR_AGO, **fields})


def redrive_all(expected, **given):
    return create_redrive(actor=ACTOR, agent=None, given=given, expected_count=expected)


@pytest.fixture
def gateway():
    return gateway_of("runs:read", "runs:write", "all:read", "all:write")


def test_a_preview_counts_and_changes_nothing(gateway):
    runs = [dead() for _ in range(3)]

    answer = gateway.post("runs/redrive", {}).json()

    assert (answer["dry_run"], answer["count"], answer["is_more"]) == (True, 3, False)
    assert [each["id"] for each in answer["sample"]] == [str(run.pk) for run in runs]
    assert answer["sample"][0]["code"] == "refused"
    assert not BulkOperation.objects.exists()
    assert not DueWork.objects.exists()


def test_each_part_of_a_filter_chooses(gateway):
    task = TaskFactory(queue="mail")
    by_task = dead(task=task)
    by_code = dead(error={"code": "other", "detail": "x"})
    by_cause = dead(cause="deadline", error=None)
    recent = dead(finished_at=datetime.now(UTC) - timedelta(minutes=1))
    dead(task=TaskFactory(state="archived", archived_at=AN_HOUR_AGO))
    since = (AN_HOUR_AGO + timedelta(minutes=30)).isoformat()

    def chosen(**given):
        return {each["id"] for each in gateway.post("runs/redrive", {"filter": given}).json()["sample"]}

    assert chosen(task=str(task.pk)) == chosen(queue="mail") == {str(by_task.pk)}
    assert chosen(code="other") == {str(by_code.pk)}
    assert chosen(cause="deadline") == chosen(code="deadline") == {str(by_cause.pk)}
    assert chosen(failed_after=since) == {str(recent.pk)}
    assert chosen(failed_before=since) == {str(by_task.pk), str(by_code.pk), str(by_cause.pk)}
    assert chosen(runs=[str(recent.pk)]) == {str(recent.pk)}


def test_a_preview_says_which_are_simulated_and_a_filter_leaves_them_out(gateway):
    real, rehearsed = dead(), dead(simulated=True)

    every = gateway.post("runs/redrive", {}).json()
    without = gateway.post("runs/redrive", {"filter": {"simulated": False}}).json()
    alone = gateway.post("runs/redrive", {"filter": {"simulated": True}}).json()

    assert (every["count"], every["simulated_count"]) == (2, 1)
    assert [each["simulated"] for each in every["sample"]] == [False, True]
    assert (without["count"], without["simulated_count"], without["sample"][0]["id"]) == (1, 0, str(real.pk))
    assert (alone["count"], alone["simulated_count"], alone["sample"][0]["id"]) == (1, 1, str(rehearsed.pk))


def test_an_agent_redrives_its_own_runs_alone():
    agent = AgentFactory(scopes=["runs:read", "runs:write", "all:read"])
    mine, theirs = dead(task=TaskFactory(agent=agent)), dead()
    gateway = gateway_of(agent=agent)

    made = gateway.post("runs/redrive", {"dry_run": False, "expected_count": 1})
    carry_on()

    assert made.status_code == 202
    assert Run.objects.get(pk=mine.pk).state == "queued"
    assert Run.objects.get(pk=theirs.pk).state == "failed"
    assert gateway_of("runs:read").get(made["Location"]).status_code == 404


def test_the_real_call_is_carried_out_audited_and_shown(gateway):
    runs = [dead() for _ in range(3)]

    made = gateway.post("runs/redrive", {"filter": {"code": "refused"}, "dry_run": False, "expected_count": 3})
    dealt = carry_on()
    shown = gateway.get(made["Location"]).json()

    assert dealt == 3
    assert (shown["state"], shown["total_count"], shown["done_count"], shown["skipped_count"]) == ("finished", 3, 3, 0)
    assert set(Run.objects.values_list("state", "cause", "attempt", "finished_at")) == {("queued", "", 1, None)}
    assert set(DueWork.objects.values_list("pk", flat=True)) == {run.pk for run in runs}
    [entry, *of_runs] = AuditEntry.objects.exclude(action="token.issue").order_by("pk")
    assert (entry.action, entry.after["count"]) == ("bulk_operation.create", 3)
    assert {each.object_id for each in of_runs} == {str(run.pk) for run in runs}
    assert {(each.action, each.actor_label, each.after["operation"]) for each in of_runs} == {
        ("run.retry", "bulk operation", shown["id"])
    }
    assert of_runs[0].before == {"state": "failed", "cause": "permanent", "attempt": 1}
    assert of_runs[0].after["asked_by"] == shown["created_by"]
    assert [each["id"] for each in gateway.get("bulk-operations?state=finished").json()["items"]] == [shown["id"]]


@pytest.mark.parametrize(("expected", "is_taken"), [(18, False), (19, True), (22, True), (23, False)])
def test_a_count_that_is_off_by_more_than_a_tenth_is_refused(gateway, expected, is_taken):
    for _ in range(20):
        dead()

    answer = gateway.post("runs/redrive", {"dry_run": False, "expected_count": expected})

    assert (answer.status_code == 202) == is_taken
    if not is_taken:
        assert_problem(answer, 409, "count_differs")
    assert BulkOperation.objects.exists() == is_taken


def test_a_redrive_without_its_preview_or_with_an_unknown_filter_is_refused(gateway):
    dead()

    blind = assert_problem(gateway.post("runs/redrive", {"dry_run": False}), 422, "not_valid")
    unknown = assert_problem(gateway.post("runs/redrive", {"filter": {"state": "failed"}}), 422, "not_valid")

    assert blind["errors"][0]["pointer"] == "/expected_count"
    assert unknown["errors"][0]["pointer"] == "/filter/state"


def test_batches_are_bounded_and_go_on_after_a_crash(monkeypatch):
    monkeypatch.setattr(operations, "BATCH", 2)
    monkeypatch.setattr(operations, "BATCHES_A_TURN", 1)
    runs = [dead() for _ in range(5)]
    operation = redrive_all(5)
    first = carry_on()

    with monkeypatch.context() as broken:
        broken.setattr(BulkOperation, "save", _dies)
        with pytest.raises(KeyboardInterrupt):
            carry_on()
    after_the_crash = DueWork.objects.count()
    rest = [carry_on(), carry_on(), carry_on()]

    operation.refresh_from_db()
    assert (first, after_the_crash, rest) == (2, 2, [2, 1, 0])
    assert (operation.state, operation.done_count) == ("finished", 5)
    assert DueWork.objects.count() == len(runs)
    assert AuditEntry.objects.filter(action="run.retry").count() == len(runs)


def _dies(*_args, **_named):
    raise KeyboardInterrupt


def test_a_run_that_fails_again_is_not_redriven_again(monkeypatch):
    monkeypatch.setattr(operations, "BATCH", 1)
    monkeypatch.setattr(operations, "BATCHES_A_TURN", 1)
    first, second = dead(), dead()
    operation = redrive_all(2)
    carry_on()
    DueWork.objects.all().delete()
    Run.objects.filter(pk=first.pk).update(state="failed", cause="permanent", finished_at=datetime.now(UTC))
    carry_on()
    carry_on()

    operation.refresh_from_db()
    assert (operation.state, operation.done_count) == ("finished", 2)
    assert list(DueWork.objects.values_list("pk", flat=True)) == [second.pk]


def test_a_canceled_one_takes_no_further_batch(monkeypatch):
    monkeypatch.setattr(operations, "BATCH", 1)
    monkeypatch.setattr(operations, "BATCHES_A_TURN", 1)
    for _ in range(2):
        dead()
    operation = redrive_all(2)
    carry_on()

    cancel_operation(actor=ACTOR, operation=operation, reason="enough")

    assert carry_on() == 0
    assert DueWork.objects.count() == 1
    operation.refresh_from_db()
    assert (operation.state, operation.state_reason, operation.done_count) == ("canceled", "enough", 1)


def test_redriven_runs_stand_behind_their_gates():
    exclusive = TaskFactory(overlap="queue_all")
    keyed = TaskFactory(concurrency_key="mail", concurrency_limit=1)
    for task in (exclusive, exclusive, keyed, keyed):
        dead(task=task)
    redrive_all(4)
    carry_on()

    gates = DueWork.objects.order_by("task_id", "run_id").values_list("task_id", "gate")
    assert sorted(str(gate) for _, gate in gates) == ["None", "None", "key", "overlap"]


def test_a_run_whose_key_cannot_be_made_is_left_out():
    bad = dead(task=TaskFactory(concurrency_key="${params.city}", concurrency_limit=1))
    good = dead()
    operation = redrive_all(2)
    carry_on()

    operation.refresh_from_db()
    assert (operation.done_count, operation.skipped_count, operation.state) == (1, 1, "finished")
    assert Run.objects.get(pk=bad.pk).state == "failed"
    assert Run.objects.get(pk=good.pk).state == "queued"


def test_one_that_a_person_retried_meanwhile_is_left_to_them():
    run, _ = dead(), dead()
    operation = redrive_all(2)
    retry_run(actor=ACTOR, run=run)
    carry_on()

    operation.refresh_from_db()
    assert (operation.state, operation.done_count) == ("finished", 1)
    assert DueWork.objects.filter(pk=run.pk).count() == 1
    assert AuditEntry.objects.filter(action="run.retry", object_id=run.pk).count() == 1


def test_the_command_previews_and_redrives():
    run = dead()
    preview, real = io.StringIO(), io.StringIO()

    call_command("redrive", "--task", str(run.task_id), "--dry-run", stdout=preview)
    still = Run.objects.get(pk=run.pk).state
    call_command("redrive", "--task", str(run.task_id), "--yes", stdout=real)

    assert "1 failed runs match" in preview.getvalue()
    assert str(run.pk) in preview.getvalue()
    assert still == "failed"
    assert "1 redriven, 0 left out: finished." in real.getvalue()
    with pytest.raises(CommandError, match="must be one of"):
        call_command("redrive", "--cause", "bad luck")


def test_the_command_says_how_many_are_simulated_and_leaves_them_out_where_asked():
    real, rehearsed = dead(), dead(simulated=True)
    every, without = io.StringIO(), io.StringIO()

    call_command("redrive", "--dry-run", stdout=every)
    call_command("redrive", "--simulated", "no", "--dry-run", stdout=without)

    assert "2 failed runs match, 1 of them simulated." in every.getvalue()
    assert f"{rehearsed.pk} {rehearsed.task.key} permanent (simulated)" in every.getvalue()
    assert "1 failed runs match, none of them simulated." in without.getvalue()
    assert str(real.pk) in without.getvalue()


def test_the_console_previews_redrives_and_shows_the_progress(client: Client):
    operator = OperatorFactory()
    assign(operator, Role.OPERATOR)
    client.force_login(operator)
    run, other = dead(), dead(error={"code": "other", "detail": "x"})
    address = "/admin/scheduling/run/dead-letters/"

    listed = client.get(address).content.decode()
    preview = client.post(address, {"redrive": "preview", "code": "refused", "cause": "permanent"}).content.decode()
    made = client.post(address, {"redrive": "start", "code": "refused", "expected_count": "1"})
    carry_on()
    page = client.get(made["Location"]).content.decode()
    selected = client.post(address, {"redrive": "selected", "runs": [str(other.pk)]}).content.decode()

    assert "Redrive all that match" in listed
    assert "Redrive selected" in listed
    assert "Redrive 1<" in preview
    assert str(run.pk) in preview
    assert "1 of 1 dealt with" in page
    assert f'name="runs" value="{other.pk}"' in selected
    assert Run.objects.get(pk=run.pk).state == "queued"


def test_a_viewer_redrives_nothing(client: Client):
    operator = OperatorFactory()
    assign(operator, Role.VIEWER)
    client.force_login(operator)
    dead()

    assert client.post("/admin/scheduling/run/dead-letters/", {"redrive": "preview"}).status_code == 403
