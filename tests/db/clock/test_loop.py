"""The clock's loop: nothing ends it but `stop()`."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from scheduling.clock import firing, lanes, metrics
from scheduling.clock.due import earliest_mark
from scheduling.clock.firing import run_pass
from scheduling.clock.loop import Clock
from scheduling.clock.planned import PassResult
from scheduling.models import Run
from tests.factories import ScheduleFactory
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (TypeError("a mistake of ours"), "unexpected"),
        (MemoryError(), "unexpected"),
        (RecursionError(), "unexpected"),
        (psycopg.OperationalError("the server closed the connection"), "connection"),
        (psycopg.errors.UndefinedTable("another release"), "schema"),
    ],
)
def test_whatever_a_pass_raises_is_counted_and_the_next_one_fires(
    error: Exception, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = datetime.now(UTC)
    ScheduleFactory(kind="once", expression=at.isoformat(), next_fire_at=at)
    clock = Clock()
    passes: list[bool] = []
    ready: list[bool] = []

    def fail_first(**arguments: Any) -> PassResult:
        passes.append(True)
        if len(passes) == 1:
            raise error
        ready.append(clock.readiness.is_ready)
        result = run_pass(**arguments)
        clock.stop()
        return result

    monkeypatch.setattr("scheduling.clock.loop.run_pass", fail_first)
    before = metrics.FAULTS.labels(kind)._value.get()

    clock.run()

    assert Run.objects.count() == 1
    assert ready == [False]
    assert clock.readiness.answer()[1]["failures"] == 0
    assert metrics.FAULTS.labels(kind)._value.get() == before + 1


def test_what_becomes_due_just_after_an_idle_pass_has_looked_is_fired_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    for _ in range(20):
        clock.run_once()
        monkeypatch.setattr("scheduling.clock.loop.earliest_mark", lambda **_: (0.001, datetime.now(UTC)))
        monkeypatch.setattr(clock._ear, "wait", lambda seconds: True)
        clock._sleep()
    monkeypatch.undo()
    clock.run_once()
    at = datetime.now(UTC)
    ScheduleFactory(kind="once", expression=at.isoformat(), next_fire_at=at)

    pauses: list[float] = []
    monkeypatch.setattr(clock._ear, "wait", pauses.append)

    clock._sleep()

    assert pauses == []
    assert clock.run_once().runs == 1


@pytest.mark.parametrize("is_told", [True, False])
def test_a_mark_below_where_a_look_begins_is_found_as_soon_as_its_change_is_told(
    is_told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    now = time.monotonic()
    # The last look from the beginning has taken a second, and nothing was due since.
    monkeypatch.setattr(clock._horizon, "_now", lambda: now)
    with clock._horizon.look("due"):
        now += 1.0
    with clock._horizon.look("earliest"):
        now += 1.0
    clock._horizon.settled(datetime.now(UTC))
    now += 0.5
    ScheduleFactory(next_fire_at=datetime.now(UTC) - timedelta(minutes=5), expression="*/5 * * * *")

    def hear(seconds: float) -> bool:
        clock._ear.has_heard = is_told
        return True

    monkeypatch.setattr(clock._ear, "wait", hear)
    clock._sleep()

    assert clock.run_once().runs == int(is_told)


def test_what_somebody_holds_is_looked_at_less_and_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    pauses: list[float] = []
    monkeypatch.setattr("scheduling.clock.loop.earliest_mark", lambda **_: (-1.0, datetime.now(UTC)))
    monkeypatch.setattr(clock._ear, "wait", lambda seconds: False)
    monkeypatch.setattr(clock._stopping, "wait", pauses.append)
    for _ in range(9):
        clock.run_once()
        clock._sleep()

    assert pauses == pytest.approx([0.04, 0.08, 0.16, 0.32, 0.64, 1.0, 1.0, 1.0], abs=0.015)


def test_an_ear_that_is_lost_in_the_middle_of_a_sleep_does_not_begin_it_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    pauses: list[float] = []
    monkeypatch.setattr("scheduling.clock.loop.earliest_mark", lambda **_: None)

    def be_lost(seconds: float) -> bool:
        time.sleep(0.3)
        return False

    monkeypatch.setattr(clock._ear, "wait", be_lost)
    monkeypatch.setattr(clock._stopping, "wait", pauses.append)

    clock._sleep()

    assert 0 < pauses[0] <= 0.7


def test_what_others_come_to_is_not_kept_waiting_by_what_somebody_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    pauses: list[float] = []
    ScheduleFactory(next_fire_at=datetime.now(UTC) + timedelta(seconds=0.9))
    monkeypatch.setattr("scheduling.clock.loop.earliest_mark", lambda **_: (-1.0, datetime.now(UTC)))
    monkeypatch.setattr(clock._ear, "wait", lambda seconds: False)
    monkeypatch.setattr(clock._stopping, "wait", pauses.append)
    clock._fruitless = 9

    clock._sleep()

    assert 0 < pauses[0] <= 0.9


def test_after_days_of_downtime_a_pass_writes_no_more_than_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(firing, "STARTS_OF_PASS", 50)
    monkeypatch.setattr(lanes, "STARTS_OF_TRANSACTION", 20)
    sizes: list[int] = []
    fire = firing.fire

    def noted(planned: Any) -> PassResult:
        result = fire(planned)
        sizes.append(result.runs)
        return result

    monkeypatch.setattr(firing, "fire", noted)
    now = datetime.now(UTC)
    for _ in range(12):
        ScheduleFactory(
            kind="interval",
            expression="PT1M",
            starts_at=(now - timedelta(days=3)).replace(microsecond=0, tzinfo=None),
            next_fire_at=(now - timedelta(days=2)).replace(microsecond=0),
            misfire_policy="all",
            misfire_limit=8,
        )

    passes: list[PassResult] = []
    while not passes or passes[-1].is_full:
        passes.append(run_pass(now=now))

    assert Run.objects.count() == 12 * 9  # eight late ones and the present one
    assert max(sizes) <= 20
    assert [result.runs for result in passes] == [54, 54]
    assert run_pass(now=now).runs == 0


def test_a_mark_that_comes_in_below_the_horizon_is_found_soon() -> None:
    clock = Clock()
    ScheduleFactory(next_fire_at=datetime.now(UTC) + timedelta(days=1))
    clock.run_once()
    earliest_mark(horizon=clock._horizon)
    with clock._horizon.look("due") as floor:
        assert floor is not None
    an_hour_ago = datetime.now(UTC) - timedelta(hours=1)
    late = ScheduleFactory(kind="once", expression=an_hour_ago.isoformat(), next_fire_at=an_hour_ago)

    wait_until(lambda: clock.run_once().runs, what="it to fire", timeout=5)

    assert Run.objects.get().schedule_id == late.pk
