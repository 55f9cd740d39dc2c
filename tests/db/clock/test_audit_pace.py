"""The auditor keeps up: it asks a rule for what the mark has passed and no more, heeds its time, and carries on."""

import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from scheduling.clock import accounting
from scheduling.clock.accounting import Auditor
from scheduling.core.recurrence.base import Recurrence
from scheduling.models import Miss, Schedule
from tests.factories import ScheduleFactory

pytestmark = pytest.mark.django_db

NINE = datetime(2026, 6, 1, 9, 0, tzinfo=UTC)
JUST_BEFORE = NINE - timedelta(microseconds=1)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often rules are asked for a next occurrence."""
    counted: Counter[str] = Counter()
    next_after = Recurrence.next_after

    def counting(self: Recurrence, after: datetime) -> datetime | None:
        counted["next_after"] += 1
        return next_after(self, after)

    monkeypatch.setattr(Recurrence, "next_after", counting)
    return counted


@pytest.fixture
def dear(monkeypatch: pytest.MonkeyPatch) -> Callable[[], float]:
    """Each answer of a rule takes a second of a clock that nothing else moves, which is returned."""
    now = [1000.0]
    next_after = Recurrence.next_after

    def answer(self: Recurrence, after: datetime) -> datetime | None:
        now[0] += 1.0
        return next_after(self, after)

    monkeypatch.setattr(Recurrence, "next_after", answer)
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return lambda: now[0]


def moved(expression: str = "0 * * * *", *, to: datetime = NINE + timedelta(hours=1), **fields: Any) -> Schedule:
    """A schedule whose occurrences from nine on were passed over without a run or a reason."""
    return ScheduleFactory(expression=expression, next_fire_at=to, accounted_until=JUST_BEFORE, **fields)


def test_a_rule_is_asked_for_what_the_mark_has_passed_and_once_more(asked: Counter[str]) -> None:
    for _ in range(10):
        moved()

    assert Auditor().round(spend=60) == 10
    assert asked["next_after"] == 20


def test_one_that_is_far_behind_is_carried_on_in_the_same_round(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounting, "AT_ONCE", 300)
    schedule = moved("* * * * *", to=NINE + timedelta(minutes=1000))
    other = moved()

    assert Auditor().round(spend=60) == 1001

    schedule.refresh_from_db()
    assert schedule.accounted_until == JUST_BEFORE + timedelta(minutes=1000)
    assert schedule.missed_count == 1000
    assert other.misses.get().count == 1
    spans = [(miss.first_at, miss.count) for miss in schedule.misses.order_by("first_at")]
    assert spans == [(NINE + timedelta(minutes=at), min(300, 1000 - at)) for at in (0, 300, 600, 900)]


def test_hours_of_every_second_are_looked_over_in_one_round() -> None:
    to = NINE + timedelta(hours=2)
    schedule = moved("FREQ=SECONDLY", kind="rrule", to=to)
    Miss.objects.create(schedule=schedule, first_at=NINE, last_at=to, count=7201, reason="paused")

    assert Auditor().round(spend=60) == 0

    schedule.refresh_from_db()
    assert schedule.accounted_until == to - timedelta(microseconds=1)


def test_one_that_is_far_behind_leaves_the_walk_to_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounting, "AT_ONCE", 30)
    monkeypatch.setattr(accounting, "SHARE", 100)
    behind = moved("* * * * *", to=NINE + timedelta(minutes=250))
    others = [moved() for _ in range(3)]
    auditor = Auditor()

    assert [auditor.round(spend=60) for _ in range(4)] == [100 + len(others), 100, 50, 0]
    assert sum(miss.count for miss in behind.misses.all()) == 250


def test_the_time_of_a_round_is_heeded_within_a_batch(dear: Callable[[], float]) -> None:
    for _ in range(10):
        moved()
    auditor = Auditor()

    took: list[float] = []
    told: list[int] = []
    while sum(told) < 10:
        began = dear()
        told.append(auditor.round(spend=2.5))
        took.append(dear() - began)

    assert max(took) <= 4.0
    assert told == [2, 2, 2, 2, 2]
    assert Miss.objects.count() == 10


@pytest.mark.usefixtures("dear")
def test_a_single_rule_that_is_dear_is_cut_short_and_carried_on() -> None:
    schedule = moved("* * * * *", to=NINE + timedelta(minutes=9))
    auditor = Auditor()

    first = auditor.round(spend=2.5)
    schedule.refresh_from_db()

    assert (first, schedule.accounted_until) == (3, NINE + timedelta(minutes=2))
    rest = [auditor.round(spend=2.5) for _ in range(4)]
    assert sum(rest) == 6
