"""What is planned before its instant is fired at it, and only if nothing has changed: the pass does all the rest."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from scheduling.clock import metrics, session
from scheduling.clock.ahead import fire_ahead, plan_ahead, ready
from scheduling.clock.firing import run_pass
from scheduling.clock.loop import Clock
from scheduling.clock.planned import Planned
from scheduling.models import DueWork, Run, Schedule
from scheduling.runs.plain import FEW
from tests.db.clock.refusing import accept_all_runs, refuse_runs_of
from tests.factories import ScheduleFactory, TaskFactory

pytestmark = pytest.mark.django_db(transaction=True)


def due(at: datetime, **fields: Any) -> Schedule:
    return ScheduleFactory(kind="once", expression=at.isoformat(), next_fire_at=at, **fields)


def just_now() -> datetime:
    return datetime.now(UTC)


def in_a_moment(seconds: float = 60) -> datetime:
    return just_now() + timedelta(seconds=seconds)


def counts() -> tuple[int, int]:
    return Run.objects.count(), DueWork.objects.count()


def as_of(schedule: Schedule) -> dict[str, Any]:
    fields = ("state", "next_fire_at", "last_fired_at", "fired_count", "missed_count", "version")
    return Schedule.objects.filter(pk=schedule.pk).values(*fields).get()


def test_what_has_come_is_fired_as_a_pass_would() -> None:
    at = just_now()
    ahead, passed = due(at), due(at)

    planned = [item for item in plan_ahead(at) if item.schedule.id == ahead.id]
    result = fire_ahead(planned)

    assert result.runs == 1
    assert run_pass(now=at).runs == 1
    assert as_of(ahead) == as_of(passed)
    assert as_of(ahead) == {
        "state": "completed",
        "next_fire_at": None,
        "last_fired_at": at,
        "fired_count": 1,
        "missed_count": 0,
        "version": 2,
    }
    first, second = Run.objects.order_by("created_at").values("scheduled_for", "state", "trigger_kind", "attempt")
    assert first == second
    assert counts() == (2, 2)


def test_what_has_not_come_by_the_clock_of_the_database_stays() -> None:
    at = in_a_moment()
    schedule = due(at)
    before = as_of(schedule)
    planned = plan_ahead(at)

    assert len(planned) == 1
    assert fire_ahead(planned).runs == 0
    assert as_of(schedule) == before
    assert counts() == (0, 0)


def test_who_slept_past_the_instant_leaves_it_to_the_pass_and_its_misfire_policy() -> None:
    at = in_a_moment(-5)
    schedule = due(at, misfire_policy="skip", misfire_grace=timedelta(seconds=1))
    planned = plan_ahead(at)

    assert len(planned) == 1
    assert fire_ahead(planned).runs == 0
    assert run_pass().missed == 1
    assert as_of(schedule)["missed_count"] == 1
    assert counts() == (0, 0)


def test_who_is_later_than_the_grace_leaves_it_to_the_misfire_policy() -> None:
    at = just_now() - timedelta(milliseconds=300)
    due(at, misfire_policy="skip", misfire_grace=timedelta(milliseconds=100))
    planned = plan_ahead(at)

    assert len(planned) == 1
    assert fire_ahead(planned).runs == 0
    assert run_pass().missed == 1


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"state": "paused"},
        {"held_at": datetime(2026, 1, 1, tzinfo=UTC)},
    ],
)
def test_what_has_changed_meanwhile_is_not_fired(change: dict[str, Any]) -> None:
    at = just_now()
    schedule = due(at, version=1)
    planned = plan_ahead(at)
    Schedule.objects.filter(pk=schedule.pk).update(**change)

    assert len(planned) == 1
    assert fire_ahead(planned).runs == 0
    assert counts() == (0, 0)


@pytest.mark.parametrize("task", [{"overlap": "skip"}, {"concurrency_key": "k", "concurrency_limit": 1}])
def test_a_task_that_got_something_to_decide_is_left_to_the_pass(task: dict[str, Any]) -> None:
    at = just_now()
    schedule = due(at)
    planned = plan_ahead(at)
    type(schedule.task).objects.filter(pk=schedule.task_id).update(**task)

    assert fire_ahead(planned).runs == 0
    assert run_pass(now=at).runs == 1


def test_starts_that_decide_something_are_not_planned_ahead() -> None:
    at = in_a_moment()
    due(at, task=TaskFactory(overlap="queue_one"))
    due(at, task=TaskFactory(concurrency_key="k", concurrency_limit=1))
    due(at, task=TaskFactory(dedupe_key="k", dedupe_window=timedelta(hours=1)))

    assert plan_ahead(at) == []


def test_a_batch_is_the_pass_s() -> None:
    at = in_a_moment()
    task = TaskFactory()
    for _ in range(FEW + 1):
        due(at, task=task)

    assert plan_ahead(at) == []

    Schedule.objects.order_by("id")[:1].get().delete()
    assert len(plan_ahead(at)) == FEW


def test_what_cannot_be_planned_is_left_to_the_pass_and_the_others_are_planned() -> None:
    at = just_now()
    broken, sound = due(at, timezone="Mars/Olympus"), due(at)

    planned = plan_ahead(at)

    assert [item.schedule.id for item in planned] == [sound.id]
    assert fire_ahead(planned).runs == 1
    assert as_of(broken)["state"] == "active"
    assert run_pass(now=at).quarantined == 1


def test_what_the_database_refuses_is_left_to_the_pass_which_finds_who_it_is() -> None:
    at = just_now()
    refused, sound = due(at), due(at)
    refuse_runs_of(refused)
    try:
        assert fire_ahead(plan_ahead(at)).runs == 0
        result = run_pass(now=at)
    finally:
        accept_all_runs()

    assert (result.runs, result.quarantined) == (1, 1)
    assert as_of(sound)["fired_count"] == 1


def test_a_lost_connection_is_the_loop_s(monkeypatch: pytest.MonkeyPatch) -> None:
    def lose(*_: Any, **__: Any) -> None:
        raise psycopg.OperationalError("the server closed the connection")

    at = just_now()
    due(at)
    planned = plan_ahead(at)
    monkeypatch.setattr("scheduling.clock.ahead.fire_plain_plans", lose)

    with pytest.raises(psycopg.OperationalError):
        fire_ahead(planned)


def sleeping(monkeypatch: pytest.MonkeyPatch, *, woken_after: float | None) -> Clock:
    """A clock that sleeps once, without a pause of its own between; woken early where a number of seconds is given."""
    clock = Clock()

    def wait(seconds: float) -> bool:
        time.sleep(seconds if woken_after is None else min(seconds, woken_after))
        return True

    monkeypatch.setattr(clock._ear, "wait", wait)
    return clock


def test_a_clock_fires_at_the_instant_without_a_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    due(just_now() + timedelta(milliseconds=400))
    before = metrics.RUNS._value.get()

    sleeping(monkeypatch, woken_after=None)._sleep()

    assert metrics.RUNS._value.get() == before + 1
    run = Run.objects.get()
    assert run.scheduled_for is not None
    assert timedelta(0) <= run.created_at - run.scheduled_for < timedelta(milliseconds=100)


def statement_limit() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        return str(cursor.fetchone()[0])


def end_this_connection() -> None:
    ended = connection.connection.info.backend_pid
    with psycopg.connect(connection.connection.info.dsn, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [ended])


def fire_without_connection(planned: list[Planned]) -> None:
    with ready(planned):
        end_this_connection()
        fire_ahead(planned)


def test_nothing_but_the_one_statement_is_sent_at_the_instant() -> None:
    at = just_now()
    due(at)
    due(at)
    with session.owned():
        planned = plan_ahead(at)
        usual = statement_limit()
        with ready(planned):
            assert statement_limit() == "500ms" != usual
            # Through Django's cursors goes what is around it; the statement itself has a cursor of its own.
            with CaptureQueriesContext(connection) as around:
                assert fire_ahead(planned).runs == 2
            assert [each["sql"] for each in around] == ["SELECT pg_notify('ordinaut_due', 'default')"]
        assert statement_limit() == usual


def test_without_a_plan_the_connection_is_left_as_it_is() -> None:
    with session.owned(), session.single_statement():
        usual = statement_limit()
        with ready([]), CaptureQueriesContext(connection) as queries:
            assert statement_limit() == usual
        assert len(queries) == 1


def test_a_connection_that_is_lost_at_the_instant_does_not_hide_why() -> None:
    at = just_now()
    due(at)
    with session.owned():
        planned = plan_ahead(at)
        with pytest.raises(OperationalError, match=r"terminat|closed"):
            fire_without_connection(planned)
        connection.close()
        assert run_pass(now=at).runs == 1


def test_a_clock_that_is_woken_before_the_instant_fires_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    due(just_now() + timedelta(milliseconds=300))

    sleeping(monkeypatch, woken_after=0.01)._sleep()

    assert counts() == (0, 0)


def test_a_clock_that_is_stopped_in_its_sleep_fires_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    due(just_now() + timedelta(milliseconds=50))
    clock = sleeping(monkeypatch, woken_after=None)
    wait = clock._ear.wait

    def wait_and_stop(seconds: float) -> bool:
        clock.stop()
        return wait(seconds)

    monkeypatch.setattr(clock._ear, "wait", wait_and_stop)

    clock._sleep()

    assert counts() == (0, 0)
