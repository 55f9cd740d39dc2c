"""Why a run does not run: each reason from rows as they really are, through every door."""

import io
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from scheduling.agents.roles import Role, assign
from scheduling.audit.operations import Actor
from scheduling.models import ConcurrencyKey, DueWork, Run
from scheduling.queues.models import Queue, RateBucket
from scheduling.runs.operations import cancel_run, start_run
from scheduling.tasks.operations import pause_task
from tests.db.api.gateway import assert_problem, gateway_of
from tests.factories import (
    AgentFactory,
    DueWorkFactory,
    OperatorFactory,
    QuestionFactory,
    RunFactory,
    StepRunFactory,
    TaskFactory,
    WorkerFactory,
)
from workers.exits import KILLED_AT_STOP, ended_with_host
from workers.explain import explain, explainable
from workers.models import Wait

pytestmark = pytest.mark.django_db

ACTOR = Actor.system("tests")
MINUTE = timedelta(minutes=1)


def now():
    return datetime.now(UTC)


def reasons(run):
    return {reason.code: reason for reason in explain(explainable(run.pk)).reasons}


def codes(run):
    return list(reasons(run))


def leased(worker, **fields):
    return DueWorkFactory(lease_owner=worker.boot_id, lease_epoch=1, claimed_at=now(), **fields)


def test_a_run_that_is_due_while_workers_are_free_is_about_to_start():
    WorkerFactory()
    run = DueWorkFactory().run

    reason = reasons(run)["about_to_start"]

    assert codes(run) == ["about_to_start"]
    assert (reason.facts["slots"], reason.facts["ahead"]) == (4, 0)


def test_a_run_for_whose_queue_nobody_works_names_the_queues_that_are_worked_on():
    WorkerFactory(queues=["mail", "slow"])
    WorkerFactory(queues=["default"], state="lost")
    run = DueWorkFactory().run

    reason = reasons(run)["no_worker"]

    assert codes(run) == ["no_worker"]
    assert (reason.facts["queue"], reason.facts["live_queues"]) == ("default", ["mail", "slow"])
    assert "mail, slow" in reason.sentence
    assert "--queue default" in reason.hint


def test_a_queue_whose_only_worker_drains_has_none():
    WorkerFactory(drain_requested_at=now())

    reason = reasons(DueWorkFactory().run)["no_worker"]

    assert reason.facts["draining"] == 1


def lost(seconds_ago, **fields):
    fields = {"state_reason": "ended with SIGKILL (killed: by its host)", **fields}
    return WorkerFactory(state="lost", stopped_at=now() - timedelta(seconds=seconds_ago), **fields)


def test_between_the_death_of_the_only_process_and_the_start_of_the_next_one_its_host_is_waited_for():
    lost(90, host="another.example")
    last = lost(3, host="px.example")
    lost(1, queues=["mail"])
    WorkerFactory(queues=["mail"])

    reason = reasons(DueWorkFactory().run)["no_worker"]

    assert f"px.example:{last.pid}, is gone since " in reason.sentence
    assert "ended with SIGKILL (killed: by its host)" in reason.sentence
    assert "Its host, if it still runs, starts another one by itself, after a pause that grows" in reason.sentence
    assert reason.hint.index("Wait") < reason.hint.index("manage.py runworkers --queue default")
    assert reason.facts["last_ended"] == {
        "worker": str(last.pk),
        "host": "px.example",
        "pid": last.pid,
        "at": last.stopped_at.isoformat().replace("+00:00", "Z"),
        "reason": last.state_reason,
    }


def test_a_process_that_is_lost_by_its_silence_is_told_as_well():
    lost(20, state_reason="its beat stood still for 15 s, as the worker host b saw")

    assert "stood still for 15 s" in reasons(DueWorkFactory().run)["no_worker"].sentence


@pytest.mark.parametrize(
    "fields",
    [
        {"seconds_ago": 121},
        {"state_reason": ended_with_host("exit code 1")},
        {"state_reason": KILLED_AT_STOP},
        {"drain_requested_at": datetime(2026, 1, 1, tzinfo=UTC)},
        {"queues": ["mail"]},
    ],
    ids=["long ago", "with its host", "at the stop of its host", "drained", "another queue"],
)
def test_a_process_that_nobody_follows_is_not_waited_for(fields):
    lost(**{"seconds_ago": 3, **fields})

    reason = reasons(DueWorkFactory().run)["no_worker"]

    assert (reason.hint, reason.facts["last_ended"]) == ("Start one: manage.py runworkers --queue default", None)


def test_nor_is_one_whose_host_drains():
    died = lost(3)
    WorkerFactory(supervisor_id=died.supervisor_id, state="stopped", stopped_at=now(), drains_host=True)

    assert reasons(DueWorkFactory().run)["no_worker"].facts["last_ended"] is None


def test_full_workers_are_counted_with_those_that_come_before():
    WorkerFactory(slots=4, running_count=4)
    run = DueWorkFactory(priority=5, available_at=now() - MINUTE).run
    DueWorkFactory(priority=5, available_at=now() - 2 * MINUTE)
    DueWorkFactory(priority=1, available_at=now() - MINUTE / 2)
    DueWorkFactory(priority=9, available_at=now() - 2 * MINUTE)  # four minutes' worth behind, two before
    DueWorkFactory(priority=1, available_at=now() + MINUTE)  # not due
    DueWorkFactory(priority=1, queue="mail", available_at=now() - 9 * MINUTE)

    reason = reasons(run)["queue_full"]

    assert (reason.facts["busy"], reason.facts["slots"], reason.facts["ahead"]) == (4, 4, 2)
    assert "4 of 4 slots" in reason.sentence


def held_by(worker, priority, count):
    """Runs of that priority in its slots, as a beat tells them."""
    works = [
        DueWorkFactory(priority=priority, lease_owner=worker.pk, lease_epoch=number, claimed_at=now())
        for number in range(1, count + 1)
    ]
    worker.doing = [*(worker.doing or []), *([str(work.pk), None, None] for work in works)]
    worker.running_count += count
    worker.save()


@pytest.mark.parametrize(
    ("slots", "lowest", "others", "code"),
    [
        (4, 3, 0, "lowest_priority_full"),
        (4, 2, 1, "about_to_start"),
        (4, 3, 1, "queue_full"),
        (1, 0, 0, "about_to_start"),
        (20, 15, 2, "lowest_priority_full"),
    ],
)
def test_runs_of_the_lowest_priority_are_told_of_the_quarter_that_they_leave(slots, lowest, others, code):
    worker = WorkerFactory(slots=slots)
    held_by(worker, 9, lowest)
    held_by(worker, 5, others)
    run = DueWorkFactory(priority=9).run

    reason = reasons(run)[code]

    if code == "lowest_priority_full":
        assert f"{lowest} of the {lowest} slots" in reason.sentence
        assert codes(DueWorkFactory(priority=8).run) == ["about_to_start"]


def test_of_a_process_that_cannot_tell_all_its_runs_the_rest_is_taken_to_be_alike():
    worker = WorkerFactory(slots=100)
    held_by(worker, 9, 40)
    worker.running_count = 75
    worker.save()

    # Forty rows take their time, and the database's clock stands still in a test's transaction.
    assert codes(DueWorkFactory(priority=9, available_at=now() - MINUTE).run) == ["lowest_priority_full"]


def test_a_second_process_with_room_for_the_lowest_is_no_reason_to_wait():
    full = WorkerFactory(slots=4)
    held_by(full, 9, 3)
    WorkerFactory(slots=4)

    assert codes(DueWorkFactory(priority=9).run) == ["about_to_start"]


def test_workers_that_stopped_beating_are_told():
    WorkerFactory(beat_at=now() - MINUTE)

    assert codes(DueWorkFactory().run) == ["workers_silent"]


def test_a_first_start_in_the_future_is_due_later():
    WorkerFactory()
    work = DueWorkFactory(available_at=now() + timedelta(hours=2))

    reason = reasons(work.run)["due_later"]

    assert codes(work.run) == ["due_later"]
    assert reason.facts["available_at"] == work.available_at.isoformat().replace("+00:00", "Z")


def test_a_retry_tells_its_attempt_its_time_and_the_last_error():
    WorkerFactory()
    task = TaskFactory(retry={"max_attempts": 5})
    run = RunFactory(task=task, error={"code": "refused", "detail": "the mail server said no", "step": "send"})
    DueWorkFactory(run=run, attempt=2, available_at=now() + MINUTE)

    reason = reasons(run)["retry_at"]

    assert "attempt 2 of 5" in reason.sentence
    assert "the mail server said no (step send)" in reason.sentence
    assert (reason.facts["attempt"], reason.facts["max_attempts"]) == (2, 5)


def test_a_tool_that_no_host_has_is_named():
    WorkerFactory()
    error = {"code": "tools_missing", "detail": "the worker host h lacks it: x.y is not installed"}
    run = RunFactory(error=error)
    DueWorkFactory(run=run, available_at=now() + MINUTE, handback_count=6)

    found = reasons(run)

    assert list(found) == ["tools_missing", "handed_back"]
    assert "x.y is not installed" in found["tools_missing"].sentence
    assert found["handed_back"].facts == {"handbacks": 6}


def test_a_paused_task_is_told_with_its_reason():
    WorkerFactory()
    task = TaskFactory()
    run = start_run(actor=ACTOR, task=task)
    pause_task(actor=ACTOR, task=task, reason="the vendor is down")

    reason = reasons(run)["task_paused"]

    assert codes(run) == ["task_paused"]
    assert "the vendor is down" in reason.sentence


def test_a_held_run_names_the_run_it_waits_for_and_its_place():
    WorkerFactory()
    task = TaskFactory(overlap="queue_all")
    live, _, last = (start_run(actor=ACTOR, task=task) for _ in range(3))

    reason = reasons(last)["overlap"]

    assert codes(last) == ["overlap"]
    assert (reason.facts["held_by"], reason.facts["ahead"]) == ([str(live.pk)], 1)


def test_a_held_run_of_a_paused_task_has_two_reasons_the_pause_first():
    WorkerFactory()
    task = TaskFactory(overlap="queue_all")
    _, held = (start_run(actor=ACTOR, task=task) for _ in range(2))
    Run.objects.filter(pk=held.pk).update(created_at=now() - MINUTE)
    pause_task(actor=ACTOR, task=task)

    assert codes(held) == ["task_paused", "overlap"]


def test_a_full_key_names_its_limit_its_holders_and_the_place_in_line():
    WorkerFactory()
    task = TaskFactory(concurrency_key="mail", concurrency_limit=2)
    first, second, _, last = (start_run(actor=ACTOR, task=task) for _ in range(4))

    reason = reasons(last)["key_full"]

    assert codes(last) == ["key_full"]
    assert (reason.facts["key"], reason.facts["limit"], reason.facts["place"]) == ("mail", 2, 2)
    assert set(reason.facts["held_by"]) == {str(first.pk), str(second.pk)}


def test_a_key_with_room_admits_within_a_second():
    WorkerFactory()
    ConcurrencyKey.objects.create(key="agent:mail", limit=1)
    work = DueWorkFactory(gate="key", concurrency_key="agent:mail")

    assert codes(work.run) == ["key_has_room"]


def test_a_suspect_is_tried_alone():
    WorkerFactory()
    work = DueWorkFactory(gate="suspect", is_suspect=True, death_count=1)

    assert reasons(work.run)["suspect"].facts == {"deaths": 1, "quarantined_at": 3}


def test_a_parked_run_tells_what_it_waits_for():
    WorkerFactory()
    work = DueWorkFactory(run=RunFactory(state="waiting"), available_at=now() + MINUTE)
    Wait.objects.create(run_id=work.pk, path="nap", kind="timer", wake_at=now() + MINUTE)
    asked = QuestionFactory(run=work.run, path="ok", asks={"title": "Pay?", "roles": ["authors", "finance"]})
    QuestionFactory(run=work.run, path="old", closed_at=now(), outcome="withdrawn")

    assert codes(work.run) == ["waiting_timer", "waiting_approval"]
    assert reasons(work.run)["waiting_timer"].facts["step"] == "nap"
    reason = reasons(work.run)["waiting_approval"]
    assert reason.sentence == "Step ok waits for an approval of one of the roles authors, finance: Pay?"
    assert f"/api/v1/approvals/{asked.pk}/approve" in reason.hint


def test_a_running_run_tells_its_worker_and_the_step_that_is_open():
    worker = WorkerFactory()
    work = leased(worker)
    worker.doing = [[str(work.pk), "send", now().isoformat()]]
    worker.save()

    reason = reasons(work.run)["running"]

    assert codes(work.run) == ["running"]
    assert (reason.facts["host"], reason.facts["step"]) == ("host.example", "send")
    assert "in step send" in reason.sentence


def test_a_run_of_a_silent_worker_and_one_of_a_dead_one_are_told_apart():
    silent = leased(WorkerFactory(beat_at=now() - MINUTE))
    orphan = leased(WorkerFactory(state="lost"))

    assert codes(silent.run) == ["worker_silent", "running"]
    assert codes(orphan.run) == ["worker_gone"]


def test_a_cancellation_that_is_on_its_way_comes_first():
    work = leased(WorkerFactory())
    cancel_run(actor=ACTOR, run=work.run)

    assert codes(work.run) == ["cancel_requested", "running"]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"succeeded": True}, "succeeded"),
        ({"dead": True}, "failed"),
        ({"state": "canceled"}, "canceled"),
        ({"state": "skipped", "skip_reason": "overlap"}, "skipped_overlap"),
        ({"state": "skipped", "skip_reason": "duplicate"}, "skipped_duplicate"),
        ({"state": "missed"}, "missed"),
        ({"state": "queued"}, "no_due_work"),
    ],
)
def test_an_ended_run_tells_how_it_ended(fields, code):
    assert codes(RunFactory(**fields)) == [code]


def test_a_paused_queue_is_said_before_what_the_workers_lack():
    Queue.objects.create(name="default", paused_at=now(), pause_reason="a deploy", paused_until=now() + MINUTE)

    reason, *others = explain(explainable(DueWorkFactory().pk)).reasons

    assert (reason.code, [other.code for other in others]) == ("queue_paused", ["no_worker"])
    assert "a deploy" in reason.sentence
    assert "/queues/default/resume" in reason.hint


def test_a_run_of_a_paused_queue_is_not_said_to_start():
    WorkerFactory()
    Queue.objects.create(name="default", paused_at=now())

    assert codes(DueWorkFactory().run) == ["queue_paused"]


def test_a_rate_that_is_used_up_is_said_with_the_time_of_the_next_start():
    Queue.objects.create(name="default", rate_limit=1, rate_period=MINUTE)
    RateBucket.objects.create(key="queue:default", tokens=0, refilled_at=now())
    ConcurrencyKey.objects.create(key="a:b", limit=5, rate_limit=1, rate_period=MINUTE)
    RateBucket.objects.create(key="key:a:b", tokens=0, refilled_at=now())

    found = codes(DueWorkFactory(gate="key", concurrency_key="a:b").run)

    assert [code for code in found if code.endswith("used_up")] == ["queue_rate_used_up", "key_rate_used_up"]


@pytest.mark.parametrize("make", ["key", "overlap", "due", "later", "waiting", "leased", "dead"])
def test_no_explanation_takes_more_than_twelve_queries(make, django_assert_max_num_queries):
    WorkerFactory()
    work = {
        "key": lambda: DueWorkFactory(gate="key", concurrency_key="a:b"),
        "overlap": lambda: DueWorkFactory(gate="overlap", is_exclusive=True),
        "due": DueWorkFactory,
        "later": lambda: DueWorkFactory(available_at=now() + MINUTE),
        "waiting": lambda: DueWorkFactory(run=RunFactory(state="waiting")),
        "leased": lambda: leased(WorkerFactory()),
        "dead": lambda: None,
    }[make]()
    run = RunFactory(dead=True) if work is None else work.run

    with django_assert_max_num_queries(12):
        explain(explainable(run.pk))


def test_the_api_explains_a_run_of_ones_own_and_no_other():
    agent = AgentFactory(scopes=["runs:read"])
    mine = DueWorkFactory(run__task__agent=agent).run
    gateway = gateway_of(agent=agent)

    answer = gateway.get(f"runs/{mine.pk}/explain").json()

    assert answer["state"] == "queued"
    assert [reason["code"] for reason in answer["reasons"]] == ["no_worker"]
    assert (answer["simulated"], answer["summary"]) == (False, answer["reasons"][0]["sentence"])
    assert_problem(gateway.get(f"runs/{DueWorkFactory().run.pk}/explain"), 404, "not_found")


def test_the_command_explains_in_words_and_as_json():
    run = DueWorkFactory().run
    words, data = io.StringIO(), io.StringIO()

    call_command("explainrun", str(run.pk), stdout=words)
    call_command("explainrun", str(run.pk), "--json", stdout=data)

    assert f"Run {run.pk} is queued." in words.getvalue()
    assert "[no_worker]" in words.getvalue()
    assert orjson.loads(data.getvalue())["reasons"][0]["code"] == "no_worker"


@pytest.mark.parametrize("is_due", [True, False])
def test_a_simulated_run_is_explained_as_one_through_every_door(is_due):
    run = DueWorkFactory(run__simulated=True).run if is_due else RunFactory(dead=True, simulated=True)
    words, data = io.StringIO(), io.StringIO()

    call_command("explainrun", str(run.pk), stdout=words)
    call_command("explainrun", str(run.pk), "--json", stdout=data)
    answer = gateway_of("runs:read", "all:read").get(f"runs/{run.pk}/explain").json()

    assert f"Run {run.pk} is {run.state} (simulated)." in words.getvalue()
    for told in (answer, orjson.loads(data.getvalue())):
        assert told["simulated"] is True
        assert told["summary"] == f"It is a simulated run. {told['reasons'][0]['sentence']}"


@pytest.mark.parametrize("given", ["morning", "01980000-0000-7000-8000-000000000000"])
def test_the_command_says_what_is_wrong_with_an_id(given):
    with pytest.raises(CommandError, match=given):
        call_command("explainrun", given)


def test_the_page_of_a_run_says_why_it_does_not_run(client: Client, django_assert_max_num_queries):
    operator = OperatorFactory()
    assign(operator, Role.VIEWER)
    client.force_login(operator)
    run = DueWorkFactory(gate="paused").run

    page = client.get(f"/admin/scheduling/run/{run.pk}/change/").content.decode()

    assert "Why it does not run" in page
    assert "Its task is paused" in page
    assert DueWork.objects.filter(pk=run.pk, gate="paused").exists()


def test_a_wait_that_is_over_hides_no_reason():
    work = DueWorkFactory(run=RunFactory(state="waiting"), available_at=now() - MINUTE)
    Wait.objects.create(run_id=work.pk, path="ok", kind="timer", wake_at=now() - MINUTE)

    assert codes(work.run) == ["no_worker"]


def test_a_step_that_is_tried_again_later_tells_its_error():
    WorkerFactory()
    work = DueWorkFactory(run=RunFactory(state="waiting"), available_at=now() + MINUTE)
    Wait.objects.create(run_id=work.pk, path="send", kind="timer", wake_at=now() + MINUTE)
    error = {"code": "refused", "detail": "the mail server said no", "step": "send"}
    StepRunFactory(run=work.run, path="send", state="failed", attempt=2, error=error)
    StepRunFactory(run=work.run, path="send", state="failed", attempt=1, error={"code": "first"})

    reason = reasons(work.run)["step_retry_at"]

    assert codes(work.run) == ["step_retry_at"]
    assert "Step send failed (try 2)" in reason.sentence
    assert "the mail server said no" in reason.sentence
    assert reason.facts["tries"] == 2


def test_a_claimed_run_that_has_no_slot_yet_is_not_said_to_run():
    worker = WorkerFactory(running_count=4, beat_at=now() + timedelta(seconds=1), doing=[])
    work = leased(worker)

    reason = reasons(work.run)["waits_for_slot"]

    assert codes(work.run) == ["waits_for_slot"]
    assert (reason.facts["busy"], reason.facts["slots"]) == (4, 4)


def test_a_step_that_waits_for_a_process_is_not_said_to_run():
    worker = WorkerFactory(beat_at=now() + timedelta(seconds=1))
    work = leased(worker)
    worker.doing = [[str(work.pk), "compute", now().isoformat(), "process"]]
    worker.save()

    reason = reasons(work.run)["waits_for_process"]

    assert codes(work.run) == ["waits_for_process"]
    assert "its step compute waits since" in reason.sentence
    assert "ORDINAUT_ISOLATED_PROCESSES" in reason.hint
    assert reason.facts["step"] == "compute"


def test_in_a_fair_queue_those_of_its_own_agent_come_before_it():
    Queue.objects.create(name="default", is_fair=True)
    WorkerFactory(slots=1, running_count=1)
    agent, other = AgentFactory(), AgentFactory()
    run = DueWorkFactory(agent_id=agent.pk, available_at=now() - MINUTE).run
    DueWorkFactory(agent_id=agent.pk, available_at=now() - 2 * MINUTE)
    DueWorkFactory(agent_id=other.pk, available_at=now() - 2 * MINUTE)

    reason = reasons(run)["queue_full"]

    assert (reason.facts["ahead"], reason.facts["ahead_is_of_agent"]) == (1, True)
    assert "1 due runs of its agent, while agents take turns, come before it" in reason.sentence


def test_a_key_with_room_is_no_reason_where_something_else_is():
    ConcurrencyKey.objects.create(key="agent:mail", limit=5, rate_limit=1, rate_period=MINUTE)
    RateBucket.objects.create(key="key:agent:mail", tokens=0, refilled_at=now())
    WorkerFactory()
    rated = DueWorkFactory(gate="key", concurrency_key="agent:mail")
    later = DueWorkFactory(gate="key", concurrency_key="agent:other", available_at=now() + MINUTE)
    Queue.objects.create(name="idle", paused_at=now())
    paused = DueWorkFactory(gate="key", concurrency_key="agent:other", queue="idle")

    assert codes(rated.run)[0] == "key_rate_used_up"
    assert codes(later.run) == ["due_later"]
    assert codes(paused.run)[0] == "queue_paused"


def test_a_used_up_rate_does_not_promise_a_start_within_a_second():
    Queue.objects.create(name="default", rate_limit=1, rate_period=MINUTE)
    RateBucket.objects.create(key="queue:default", tokens=0, refilled_at=now())
    WorkerFactory()

    assert codes(DueWorkFactory().run) == ["queue_rate_used_up"]


@pytest.mark.parametrize(("holder", "words"), [(None, "no worker holds it"), ("lost", "its worker is gone")])
def test_a_cancellation_without_a_worker_says_who_carries_it_out(holder, words):
    if holder is None:
        work = DueWorkFactory(cancel_requested_at=now())
    else:
        work = leased(WorkerFactory(state=holder), cancel_requested_at=now())

    assert words in reasons(work.run)["cancel_requested"].sentence
