"""People, clocks and workers at the same schedules at once: nobody is in a deadlock, and every occurrence is accounted
for once, whoever came first."""

import random
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection, transaction

from scheduling.clock.accounting import Auditor
from scheduling.clock.firing import run_pass
from scheduling.clock.jobs import end_snoozes
from scheduling.events.operations import publish
from scheduling.models import DueWork, Miss, Run, Schedule, Task
from scheduling.runs.gates import release_gated
from scheduling.runs.operations import start_run
from scheduling.schedules.operations import pause_schedule, resume_schedule, update_schedule
from scheduling.tasks.operations import pause_task, resume_task, update_task
from scheduling.triggers.run_ends import act_on_run_ends
from tests.db.triggers.conftest import ACTOR, end, follow, listen
from tests.factories import AgentFactory, ScheduleFactory, TaskFactory
from tests.invariants import broken_invariants

pytestmark = pytest.mark.django_db(transaction=True)

SECOND = timedelta(seconds=1)
LASTS = 6.0  # seconds

Deed = Callable[[random.Random], object]


def test_every_occurrence_is_accounted_for_once_whoever_comes_first() -> None:
    tasks = _tasks()
    began = datetime.now(UTC).replace(microsecond=0)
    timed = [_each_second(task, began) for task in tasks]
    waiting = [listen("order.paid", task=task) for task in tasks]
    follow(tasks[0], "end", task=tasks[1])
    follow(tasks[2], "end", task=tasks[3])
    people = _people(tasks, timed, waiting)
    clock: list[Deed] = [lambda _: run_pass(), lambda _: end_snoozes(), lambda _: act_on_run_ends(), _end_some_runs]

    errors = _at_once(people, people, clock, clock, [_end_some_runs])

    assert errors == []
    for task in tasks:
        resume_task(actor=ACTOR, task=task)
    for schedule in (*timed, *waiting):
        resume_schedule(actor=ACTOR, schedule=schedule)
    run_pass()
    Schedule.objects.filter(kind="after").delete()
    while DueWork.objects.filter(gate=None).exists():
        _end_some_runs(random.Random())
    assert not DueWork.objects.exists(), "nothing is held for ever"
    assert broken_invariants() == {}
    assert Auditor().round() == 0
    for schedule in timed:
        _assert_accounted_for(Schedule.objects.get(pk=schedule.pk), began)


def _tasks() -> list[Task]:
    keyed = {"concurrency_key": "one", "concurrency_limit": 1}
    kinds: list[dict[str, Any]] = [{}, {"overlap": "queue_all"}, {"overlap": "skip"}, {"overlap": "queue_one"}]
    agent = AgentFactory()
    return [TaskFactory(agent=agent, **columns) for columns in (*kinds, keyed, {"overlap": "queue_all", **keyed})]


def _each_second(task: Task, began: datetime) -> Schedule:
    return ScheduleFactory(
        task=task,
        kind="interval",
        expression="PT1S",
        starts_at=began.replace(tzinfo=None),
        next_fire_at=began + SECOND,
        accounted_until=began,
        misfire_policy="all",
        misfire_grace=5 * SECOND,
    )


def _people(tasks: Sequence[Task], timed: Sequence[Schedule], waiting: Sequence[Schedule]) -> list[Deed]:
    def until(rng: random.Random) -> datetime | None:
        return rng.choice([None, *[datetime.now(UTC) + rng.uniform(0.1, 1.5) * SECOND] * 2])

    def edited(rng: random.Random) -> object:
        changes = {"exdates": [f"2099-01-0{rng.randint(1, 9)}T00:00:00"]}
        return update_schedule(actor=ACTOR, schedule=rng.choice(timed), changes=changes)

    def other_policy(rng: random.Random) -> object:
        overlap = rng.choice(["allow", "skip", "queue_one", "queue_all", "cancel_running"])
        return update_task(actor=ACTOR, task=rng.choice(tasks), changes={"overlap": overlap})

    both = (*timed, *waiting)
    return [
        lambda rng: pause_schedule(actor=ACTOR, schedule=rng.choice(both), until=until(rng)),
        lambda rng: resume_schedule(actor=ACTOR, schedule=rng.choice(both)),
        lambda rng: pause_task(actor=ACTOR, task=rng.choice(tasks), until=until(rng)),
        lambda rng: resume_task(actor=ACTOR, task=rng.choice(tasks)),
        edited,
        other_policy,
        lambda rng: start_run(actor=ACTOR, task=rng.choice(tasks)),
        lambda _: publish(actor=ACTOR, topic="order.paid", payload={}),
    ]


def _end_some_runs(_: random.Random) -> None:
    """As workers do: the end of a run, and then what it lets go."""
    for run_id in list(DueWork.objects.filter(gate=None).values_list("pk", flat=True)[:5]):
        with transaction.atomic():
            work = DueWork.objects.select_for_update(skip_locked=True).filter(pk=run_id, gate=None).first()
            if work is None:
                continue
            end(work.run)
        with transaction.atomic(), connection.cursor() as cursor:
            release_gated(
                cursor,
                task_ids=[work.task_id] if work.is_exclusive else [],
                keys=[work.concurrency_key] if work.concurrency_key else [],
            )


def _at_once(*parties: Sequence[Deed]) -> list[str]:
    """Each in a thread of its own, one deed of its after the other by chance; what they raised."""
    errors: list[str] = []
    ends_at = time.monotonic() + LASTS

    def act(seed: int, deeds: Sequence[Deed]) -> None:
        rng = random.Random(seed)
        try:
            while time.monotonic() < ends_at:
                rng.choice(deeds)(rng)
        except Exception as error:  # noqa: BLE001 - the test tells it
            errors.append(repr(error))
        finally:
            connection.close()

    threads = [threading.Thread(target=act, args=(seed, deeds)) for seed, deeds in enumerate(parties)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


def _assert_accounted_for(schedule: Schedule, began: datetime) -> None:
    fired = list(Run.objects.filter(schedule=schedule, trigger_kind="schedule").values_list("scheduled_for", flat=True))
    missed = sum(Miss.objects.filter(schedule=schedule).values_list("count", flat=True))
    assert schedule.next_fire_at is not None
    assert len(set(fired)) == len(fired)
    assert len(fired) + missed == (schedule.next_fire_at - began) // SECOND - 1
    assert schedule.fired_count + schedule.skipped_count + schedule.missed_count == len(fired) + missed
