"""People, clocks and workers at the same schedules at once: nobody is in a deadlock, and every occurrence is accounted
for once, whoever came first."""

import contextlib
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection, transaction

from scheduling.backfills.operations import cancel_backfill, create_backfill
from scheduling.backfills.pacing import BackfillPacer
from scheduling.calendars.operations import update_calendar
from scheduling.clock.accounting import Auditor
from scheduling.clock.firing import run_pass
from scheduling.clock.jobs import end_snoozes
from scheduling.errors import SchedulingError
from scheduling.events.operations import publish
from scheduling.models import Backfill, Calendar, DueWork, Miss, Run, Schedule, Task
from scheduling.runs.gates import release_gated
from scheduling.runs.operations import start_run
from scheduling.schedules.operations import pause_schedule, resume_schedule, update_schedule
from scheduling.tasks.operations import pause_task, resume_task, update_task
from scheduling.triggers.run_ends import act_on_run_ends
from tests.db.triggers.conftest import ACTOR, end, follow, listen
from tests.factories import AgentFactory, CalendarFactory, ScheduleFactory, TaskFactory
from tests.invariants import broken_invariants

pytestmark = pytest.mark.django_db(transaction=True)

SECOND = timedelta(seconds=1)
LASTS = 6.0  # seconds

Deed = Callable[[random.Random], object]


@dataclass
class World:
    """Six tasks of all policies, each with a schedule that is due each second and one that waits for an event."""

    began: datetime
    tasks: list[Task]
    timed: list[Schedule]
    waiting: list[Schedule]
    calendar: Calendar

    @classmethod
    def new(cls) -> "World":
        began = datetime.now(UTC).replace(microsecond=0)
        tasks = _tasks()
        timed = [_each_second(task, began) for task in tasks]
        waiting = [listen("order.paid", task=task) for task in tasks]
        follow(tasks[0], "end", task=tasks[1])
        follow(tasks[2], "end", task=tasks[3])
        calendar = CalendarFactory(agent=tasks[0].agent, key="holidays", dates=["2099-01-01"])
        Schedule.objects.filter(pk__in=[timed[0].pk, timed[3].pk]).update(calendars=[calendar.pk])
        return cls(began, tasks, timed, waiting, calendar)

    def come_to_rest(self) -> None:
        """Resume what is paused, fire what is due, and end all runs: nothing may be left that waits for ever."""
        for task in self.tasks:
            resume_task(actor=ACTOR, task=task)
        for schedule in Schedule.objects.filter(state="paused"):
            resume_schedule(actor=ACTOR, schedule=schedule)
        run_pass()
        for backfill in Backfill.objects.filter(state="running"):
            cancel_backfill(actor=ACTOR, backfill=backfill)
        Schedule.objects.filter(kind="after").delete()
        while DueWork.objects.filter(gate=None).exists():
            _end_some_runs(random.Random())
        assert not DueWork.objects.exists(), "nothing is held for ever"
        assert broken_invariants() == {}
        assert Auditor().round() == 0


def test_every_occurrence_is_accounted_for_once_whoever_comes_first() -> None:
    world = World.new()
    people = _people(world)

    assert _at_once(people, people, _CLOCK, _CLOCK, [_end_some_runs]) == []

    world.come_to_rest()
    for schedule in Schedule.objects.filter(pk__in=[each.pk for each in world.timed]):
        fired, missed = _accounts_of(schedule)
        assert schedule.next_fire_at is not None
        assert fired + missed == (schedule.next_fire_at - world.began) // SECOND - 1


def test_maxima_calendars_and_backfills_leave_no_hole_and_count_right() -> None:
    world = World.new()
    people = [*_people(world), *_planners(world)]

    assert _at_once(people, people, _CLOCK, _CLOCK, [_end_some_runs]) == []

    world.come_to_rest()
    for schedule in Schedule.objects.filter(pk__in=[each.pk for each in world.timed]):
        _accounts_of(schedule)


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


def _people(world: World) -> list[Deed]:
    tasks, timed = world.tasks, world.timed
    both = (*timed, *world.waiting)

    def until(rng: random.Random) -> datetime | None:
        return rng.choice([None, *[datetime.now(UTC) + rng.uniform(0.1, 1.5) * SECOND] * 2])

    def edited(rng: random.Random) -> object:
        changes = {"exdates": [f"2099-01-0{rng.randint(1, 9)}T00:00:00"]}
        return update_schedule(actor=ACTOR, schedule=rng.choice(timed), changes=changes)

    def other_policy(rng: random.Random) -> object:
        overlap = rng.choice(["allow", "skip", "queue_one", "queue_all", "cancel_running"])
        return update_task(actor=ACTOR, task=rng.choice(tasks), changes={"overlap": overlap})

    return [
        _refusable(lambda rng: pause_schedule(actor=ACTOR, schedule=rng.choice(both), until=until(rng))),
        _refusable(lambda rng: resume_schedule(actor=ACTOR, schedule=rng.choice(both))),
        lambda rng: pause_task(actor=ACTOR, task=rng.choice(tasks), until=until(rng)),
        lambda rng: resume_task(actor=ACTOR, task=rng.choice(tasks)),
        edited,
        other_policy,
        lambda rng: start_run(actor=ACTOR, task=rng.choice(tasks)),
        lambda _: publish(actor=ACTOR, topic="order.paid", payload={}),
    ]


def _planners(world: World) -> list[Deed]:
    def other_days(rng: random.Random) -> object:
        days = [f"2099-02-{rng.randint(1, 28):02}"]
        return update_calendar(actor=ACTOR, calendar=world.calendar, changes={"dates": days})

    def other_maximum(rng: random.Random) -> object:
        changes = {"max_occurrences": rng.choice([None, 2, 5, 1000])}
        return update_schedule(actor=ACTOR, schedule=rng.choice(world.timed), changes=changes)

    def backfilled(rng: random.Random) -> object:
        now = datetime.now(UTC)
        wanted = {"start": (now - 5 * SECOND).isoformat(), "end": (now - 3 * SECOND).isoformat(), "overlap": "allow"}
        return create_backfill(actor=ACTOR, schedule=rng.choice(world.timed), definition=wanted)

    return [_refusable(deed) for deed in (other_days, other_maximum, backfilled)]


def _refusable(deed: Deed) -> Deed:
    """What may be refused, because the schedule is completed by now, say."""

    def tried(rng: random.Random) -> None:
        with contextlib.suppress(SchedulingError):
            deed(rng)

    return tried


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


_CLOCK: list[Deed] = [
    lambda _: run_pass(),
    lambda _: end_snoozes(),
    lambda _: act_on_run_ends(),
    lambda _: BackfillPacer().turn(),
    _end_some_runs,
]


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


def _accounts_of(schedule: Schedule) -> tuple[int, int]:
    """How many occurrences have a run, and how many were missed; what the schedule counts is that."""
    runs = Run.objects.filter(schedule=schedule, trigger_kind="schedule")
    fired = list(runs.values_list("scheduled_for", flat=True))
    missed = sum(Miss.objects.filter(schedule=schedule).values_list("count", flat=True))
    assert len(set(fired)) == len(fired)
    assert (schedule.fired_count + schedule.skipped_count, schedule.missed_count) == (len(fired), missed)
    return len(fired), missed
