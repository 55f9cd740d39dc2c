"""Tasks: stored whole or not at all, revised, paused, resumed and archived."""

from datetime import timedelta

import pytest
from django.db import connection

from scheduling.audit.models import AuditEntry
from scheduling.errors import IllegalTransition, KeyTaken, LimitReached, NotValid, VersionMismatch
from scheduling.instants import database_now
from scheduling.models import DueWork, Miss, Run, Schedule, Task, TaskRevision
from scheduling.runs.operations import start_run
from scheduling.runs.states import Gate, RunState
from scheduling.schedules.models import ScheduleState
from scheduling.tasks import operations
from scheduling.tasks.models import TaskState
from scheduling.tasks.shapes import TaskShape
from tests.factories import AgentFactory, DueWorkFactory, RunFactory, ScheduleFactory, TaskFactory, WorkerFactory

pytestmark = pytest.mark.django_db

DAILY = {"kind": "cron", "expression": "0 8 * * *", "timezone": "Europe/Chisinau"}


def definition(**changes):
    return {"key": "briefing", "pipeline": {"steps": [{"uses": "log.write"}]}, **changes}


def lease(work: DueWork) -> DueWork:
    worker = WorkerFactory()
    work.lease_owner, work.lease_epoch, work.claimed_at = worker.boot_id, 1, database_now()
    work.save()
    return work


def test_a_task_is_stored_with_its_first_revision_and_its_schedules(actor, agent):
    task = operations.create_task(
        actor=actor,
        agent=agent,
        definition=definition(
            schedules=[DAILY],
            timeout="PT5M",
            concurrency={"key": "mail", "limit": 2},
            dedupe={"key": "${params.city}", "window": "PT1H"},
        ),
    )

    stored = Task.objects.get(pk=task.pk)
    assert stored.current_revision is not None
    assert stored.current_revision.document == {"version": 1, "steps": [{"uses": "log.write"}]}
    assert (stored.title, stored.timeout, stored.concurrency_limit) == ("briefing", timedelta(minutes=5), 2)
    (schedule,) = stored.schedules.all()
    assert schedule.state == ScheduleState.ACTIVE
    assert schedule.next_fire_at is not None
    assert schedule.next_fire_at > database_now()
    assert schedule.starts_at.time().isoformat() == "00:00:00"


def test_all_problems_come_at_once_and_nothing_is_stored(actor, agent):
    wrong = definition(
        titel="Briefing",
        priority="5",
        timeout="5 minutes",
        pipeline={"steps": [{"uses": "log.write"}, {"uses": "no.tool"}]},
        schedules=[DAILY, {**DAILY, "expression": "61 8 * * *"}, {**DAILY, "timezone": "Europe/Kishinev"}],
        concurrency={"key": "x", "limit": 0},
        labels={"a": 1},
    )

    with pytest.raises(NotValid) as refused:
        operations.create_task(actor=actor, agent=agent, definition=wrong)

    found = {problem.pointer: problem for problem in refused.value.problems}
    assert found.keys() == {
        "/titel",
        "/priority",
        "/timeout",
        "/pipeline/steps/1/uses",
        "/schedules/1/expression",
        "/schedules/2/timezone",
        "/concurrency/limit",
        "/labels",
    }
    assert found["/titel"].hint == "Did you mean 'title'?"
    assert found["/pipeline/steps/1/uses"].hint == "Did you mean 'log.write'?"
    assert not Task.objects.exists()
    assert not Schedule.objects.exists()
    assert not AuditEntry.objects.exists()


def test_a_pipeline_may_be_text(actor, agent):
    task = operations.create_task(actor=actor, agent=agent, definition=definition(pipeline="steps: []"))

    assert task.current_revision.document == {"version": 1, "steps": []}
    with pytest.raises(NotValid) as refused:
        operations.create_task(actor=actor, agent=agent, definition=definition(key="other", pipeline="steps: ["))
    assert [(problem.pointer, problem.code) for problem in refused.value.problems] == [("/pipeline", "yaml")]


def test_params_that_a_schedule_would_fail_on_are_refused_at_save(actor, agent):
    needy = {"steps": [], "needs": ["city"]}

    operations.create_task(actor=actor, agent=agent, definition=definition(pipeline=needy))
    with pytest.raises(NotValid) as refused:
        operations.create_task(
            actor=actor, agent=agent, definition=definition(key="timed", pipeline=needy, schedules=[DAILY])
        )

    assert refused.value.problems[0].pointer == "/params"


def test_a_key_is_unique_for_its_agent_only(actor, agent):
    operations.create_task(actor=actor, agent=agent, definition=definition())
    operations.create_task(actor=actor, agent=AgentFactory(), definition=definition())

    with pytest.raises(KeyTaken):
        operations.create_task(actor=actor, agent=agent, definition=definition())


def test_an_agent_has_at_most_its_number_of_tasks_and_archived_ones_do_not_count(actor):
    agent = AgentFactory(max_tasks=1)
    first = operations.create_task(actor=actor, agent=agent, definition=definition())

    with pytest.raises(LimitReached):
        operations.create_task(actor=actor, agent=agent, definition=definition(key="second"))

    operations.archive_task(actor=actor, task=first)
    operations.create_task(actor=actor, agent=agent, definition=definition(key="second"))


def test_a_changed_pipeline_is_a_new_revision_and_the_same_one_is_not(actor, agent):
    task = operations.create_task(actor=actor, agent=agent, definition=definition())
    first = task.current_revision

    same = operations.update_task(actor=actor, task=task, changes={"pipeline": definition()["pipeline"]})
    other = operations.update_task(actor=actor, task=task, changes={"pipeline": {"steps": []}, "priority": 2})

    assert same.current_revision == first
    assert same.version == 1
    assert (other.current_revision.number, other.version, other.priority) == (2, 2, 2)
    assert TaskRevision.objects.filter(task=task).count() == 2


def test_a_change_of_what_has_changed_since_is_refused(actor, agent):
    task = operations.create_task(actor=actor, agent=agent, definition=definition())
    operations.update_task(actor=actor, task=task, changes={"title": "First"}, expected_version=1)

    with pytest.raises(VersionMismatch):
        operations.update_task(actor=actor, task=task, changes={"title": "Second"}, expected_version=1)

    task.refresh_from_db()
    assert task.title == "First"


def test_replacing_returns_what_is_not_given_to_its_default(actor, agent):
    task = operations.create_task(actor=actor, agent=agent, definition=definition(priority=1, labels={"a": "b"}))

    replaced = operations.update_task(actor=actor, task=task, changes=definition(title="New"), replaces=True)

    assert (replaced.title, replaced.priority, replaced.labels) == ("New", 5, {})


def test_schedules_do_not_change_with_the_task(actor, agent):
    task = operations.create_task(actor=actor, agent=agent, definition=definition())

    with pytest.raises(NotValid) as refused:
        operations.update_task(actor=actor, task=task, changes={"schedules": []})

    assert "/tasks/{id}/schedules" in (refused.value.problems[0].hint or "")


def test_a_key_without_its_limit_is_refused(actor, agent):
    task = operations.create_task(actor=actor, agent=agent, definition=definition())

    with pytest.raises(NotValid) as refused:
        operations.update_task(actor=actor, task=task, changes={"concurrency": {"key": "mail"}})

    assert refused.value.problems[0].pointer == "/concurrency/limit"


def test_a_limit_without_a_key_is_of_the_task_alone(actor, agent):
    limited = {"concurrency": {"limit": 3}}
    one, other = (
        operations.create_task(actor=actor, agent=agent, definition=definition(key=key, **limited)) for key in "ab"
    )

    for task in (one, other):
        for _ in range(5):
            start_run(actor=actor, task=task)

    for task in (one, other):
        gates = list(DueWork.objects.filter(task=task).values_list("gate", flat=True))
        assert (gates.count(None), gates.count("key")) == (3, 2)
    assert TaskShape(one).data["concurrency"] == {"key": None, "limit": 3, "rate": None}


def test_a_limit_that_comes_and_goes_holds_for_the_runs_that_are_there(actor, agent):
    task = operations.create_task(actor=actor, agent=agent, definition=definition())
    for _ in range(3):
        start_run(actor=actor, task=task)

    def gates():
        return sorted(str(gate) for gate in DueWork.objects.values_list("gate", flat=True))

    operations.update_task(actor=actor, task=task, changes={"concurrency": {"limit": 1}})
    limited = gates()
    operations.update_task(actor=actor, task=task, changes={"concurrency": {"limit": 2}})
    raised = gates()
    operations.update_task(actor=actor, task=task, changes={"concurrency": None})

    assert (limited, raised) == (["None", "key", "key"], ["None", "None", "key"])
    assert gates() == ["None"] * 3
    assert not DueWork.objects.exclude(concurrency_key=None).exists()


def test_pausing_holds_schedules_and_queued_work_and_leaves_what_a_worker_holds(actor):
    task = TaskFactory()
    ScheduleFactory(task=task)
    queued = DueWorkFactory(run=RunFactory(task=task))
    leased = lease(DueWorkFactory(run=RunFactory(task=task)))
    foreign = DueWorkFactory()

    paused = operations.pause_task(actor=actor, task=task, reason="holiday")

    assert (paused.state, paused.pause_reason) == (TaskState.PAUSED, "holiday")
    assert task.schedules.get().held_at is not None
    gates = dict(DueWork.objects.values_list("pk", "gate"))
    assert gates == {queued.pk: Gate.PAUSED, leased.pk: None, foreign.pk: None}


def test_resuming_counts_what_passed_and_replays_nothing(actor):
    task = TaskFactory()
    now = database_now()
    schedule = ScheduleFactory(task=task, next_fire_at=(now - timedelta(minutes=5)).replace(second=0, microsecond=0))
    work = DueWorkFactory(run=RunFactory(task=task))
    operations.pause_task(actor=actor, task=task)

    operations.resume_task(actor=actor, task=task)

    schedule.refresh_from_db()
    miss = Miss.objects.get()
    assert (miss.reason, miss.is_at_least) == ("paused", False)
    assert miss.count == schedule.missed_count
    assert miss.count in (5, 6)
    assert schedule.held_at is None
    assert schedule.next_fire_at > now
    assert Run.objects.count() == 1
    work.refresh_from_db()
    assert work.gate is None


def test_a_schedule_paused_by_itself_stays_paused_when_its_task_resumes(actor):
    task = TaskFactory()
    schedule = ScheduleFactory(task=task, state=ScheduleState.PAUSED)
    operations.pause_task(actor=actor, task=task)

    operations.resume_task(actor=actor, task=task)

    schedule.refresh_from_db()
    assert (schedule.state, schedule.held_at) == (ScheduleState.PAUSED, None)
    assert not Miss.objects.exists()


def test_keyed_work_queues_for_its_key_again_after_a_pause(actor, agent):
    task = operations.create_task(
        actor=actor, agent=agent, definition=definition(concurrency={"key": "printer", "limit": 1})
    )
    from scheduling.runs.operations import start_run

    runs = [start_run(actor=actor, task=task) for _ in range(3)]
    operations.pause_task(actor=actor, task=task)

    operations.resume_task(actor=actor, task=task)

    gates = list(DueWork.objects.filter(pk__in=[run.pk for run in runs]).values_list("gate", flat=True))
    assert sorted(gate or "" for gate in gates) == ["", Gate.KEY, Gate.KEY]


def test_archiving_cancels_what_is_queued_and_cannot_be_undone(actor):
    task = TaskFactory()
    queued = DueWorkFactory(run=RunFactory(task=task)).run
    leased = lease(DueWorkFactory(run=RunFactory(task=task))).run

    archived = operations.archive_task(actor=actor, task=task)

    assert archived.state == TaskState.ARCHIVED
    queued.refresh_from_db()
    assert queued.state == RunState.CANCELED
    assert queued.finished_at is not None
    assert list(DueWork.objects.values_list("pk", flat=True)) == [leased.pk]
    for operation in (operations.pause_task, operations.resume_task):
        with pytest.raises(IllegalTransition) as refused:
            operation(actor=actor, task=task)
        assert refused.value.allowed_actions == ()


def test_a_policy_that_becomes_exclusive_counts_the_runs_that_are_live(actor):
    task = TaskFactory()
    DueWorkFactory(run=RunFactory(task=task))
    from scheduling.runs.operations import start_run

    operations.update_task(actor=actor, task=task, changes={"overlap": "skip"})

    assert start_run(actor=actor, task=task).state == RunState.SKIPPED


def test_a_snooze_must_end_in_the_time_to_come(actor):
    task = TaskFactory()

    with pytest.raises(NotValid) as refused:
        operations.pause_task(actor=actor, task=task, until=database_now() - timedelta(seconds=1))

    assert refused.value.problems[0].pointer == "/until"


def test_each_operation_leaves_one_entry_that_says_what_changed(actor, agent):
    task = operations.create_task(actor=actor, agent=agent, definition=definition())
    operations.update_task(actor=actor, task=task, changes={"title": "New"})
    operations.update_task(actor=actor, task=task, changes={"title": "New"})
    operations.pause_task(actor=actor, task=task)
    operations.resume_task(actor=actor, task=task)
    operations.archive_task(actor=actor, task=task)

    entries = AuditEntry.objects.filter(object_kind="task").order_by("id")

    assert [entry.action for entry in entries] == [
        "task.create",
        "task.update",
        "task.pause",
        "task.resume",
        "task.archive",
    ]
    assert (entries[1].before, entries[1].after) == ({"title": "briefing"}, {"title": "New"})
    with connection.cursor() as cursor, pytest.raises(Exception, match="append-only"):
        cursor.execute("DELETE FROM scheduling_auditentry")


def test_a_policy_that_becomes_allow_lets_all_held_runs_go(actor):
    task = TaskFactory(overlap="queue_all")
    for _ in range(3):
        start_run(actor=actor, task=task)

    operations.update_task(actor=actor, task=task, changes={"overlap": "allow"})

    assert list(DueWork.objects.filter(task=task).values_list("gate", "is_exclusive")) == [(None, False)] * 3


def test_a_raised_limit_lets_waiting_runs_go(actor):
    task = TaskFactory(concurrency_key="printer", concurrency_limit=1)
    for _ in range(3):
        start_run(actor=actor, task=task)

    operations.update_task(actor=actor, task=task, changes={"concurrency": {"key": "printer", "limit": 2}})

    assert DueWork.objects.filter(task=task, gate=None).count() == 2
    assert DueWork.objects.filter(task=task, gate=Gate.KEY).count() == 1


def test_what_is_wrong_with_each_schedule_is_said_at_once_and_nothing_is_stored(actor, agent):
    schedules = [
        {"kind": "after", "expression": "success", "after": "nobody"},
        {"kind": "cron", "expression": "0 8 * * *", "calendars": ["none"]},
        {"kind": "cron", "expression": "0 8 * * *"},
    ]

    with pytest.raises(NotValid) as refused:
        operations.create_task(actor=actor, agent=agent, definition=definition(schedules=schedules))

    assert [(problem.pointer, problem.code) for problem in refused.value.problems] == [
        ("/schedules/0/after", "unknown_task"),
        ("/schedules/1/calendars/0", "unknown_calendar"),
    ]
    assert not Task.objects.exists()
