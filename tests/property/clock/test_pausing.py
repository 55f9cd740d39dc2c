"""Pausing, resuming and restarting, anywhere and in any order: every occurrence runs once or is told as missed."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from scheduling.core.planning import MisfirePolicy, plan
from scheduling.core.recurrence import ScheduleError
from scheduling.models import Miss, Schedule
from scheduling.schedules.accounts import account_for_pause
from scheduling.schedules.models import MissReason
from scheduling.schedules.rules import recurrence_of, set_mark
from tests.effort import examples
from tests.factories import ScheduleFactory, TaskFactory
from tests.property.core.rules import any_rrules, cron_expressions, zones

pytestmark = pytest.mark.django_db

BEGIN = datetime(2025, 3, 1, tzinfo=UTC)
EVERYTHING = MisfirePolicy(policy="all", limit=1000)
MOST = 1000  # occurrences in a stretch: a plan fires so many at once
EXPRESSIONS = st.one_of(
    st.tuples(st.just("cron"), cron_expressions()),
    st.tuples(st.just("rrule"), any_rrules(freqs=("HOURLY", "DAILY", "WEEKLY"), most_interval=5)),
)
STEPS = st.lists(
    st.tuples(st.sampled_from(("run on", "pause", "stand still")), st.integers(1, 20 * 86_400)), min_size=1, max_size=6
)


@settings(deadline=None, max_examples=examples(60), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rule=EXPRESSIONS, zone=zones, steps=STEPS)
def test_pausing_and_restarting_anywhere_gives_the_same_set(
    rule: tuple[str, str], zone: str, steps: list[tuple[str, int]]
) -> None:
    """The schedule is read anew before each step, as after a restart: all that is kept is its row."""
    schedule_id = stored(*rule, zone)
    ran: list[datetime] = []
    paused: list[tuple[datetime, datetime]] = []
    now = BEGIN

    for step, seconds in steps:
        schedule = Schedule.objects.get(pk=schedule_id)
        before, now = now, now + timedelta(seconds=seconds)
        if step == "run on" and schedule.next_fire_at is not None:
            ran += fired(schedule, now)
        elif step == "pause":
            # The clock has run up to the pause.
            ran += fired(schedule, before) if schedule.next_fire_at is not None else []
            account_for_pause(schedule, now=now)
            paused.append((before, now))
        schedule.save()
    schedule = Schedule.objects.get(pk=schedule_id)
    ran += fired(schedule, now) if schedule.next_fire_at is not None else []

    undisturbed = [at for at in recurrence_of(schedule).occurrences(BEGIN, 6 * MOST) if at <= now]
    missed = [at for at in undisturbed if any(begin < at <= end for begin, end in paused)]
    told = Miss.objects.filter(schedule=schedule)
    assert ran == [at for at in undisturbed if at not in missed]
    assert sum(miss.count for miss in told) == len(missed) == schedule.missed_count
    assert {miss.reason for miss in told} <= {MissReason.PAUSED}
    assert all(any(miss.first_at <= at <= miss.last_at for miss in told) for at in missed)


def stored(kind: str, expression: str, zone: str) -> object:
    schedule: Schedule = ScheduleFactory.build(
        task=TaskFactory(), kind=kind, expression=expression, timezone=zone, starts_at=datetime(2025, 1, 1)
    )
    try:
        recurrence = recurrence_of(schedule)
    except ScheduleError:
        assume(False)
        raise
    # Passes of a real clock come so often that one plan holds all.
    assume(len(recurrence.occurrences(BEGIN, MOST)) < MOST or is_sparse(recurrence.occurrences(BEGIN, MOST)))
    mark = recurrence.next_after(BEGIN)
    assume(mark is not None)
    set_mark(schedule, mark)
    schedule.save(force_insert=True)
    return schedule.pk


def is_sparse(occurrences: list[datetime]) -> bool:
    return occurrences[-1] - BEGIN > timedelta(days=120)


def fired(schedule: Schedule, now: datetime) -> list[datetime]:
    """What the clock would run at `now`, at whatever it finds in the row; the mark moves."""
    assert schedule.next_fire_at is not None
    made = plan(recurrence_of(schedule), misfire=EVERYTHING, next_fire_at=schedule.next_fire_at, now=now)
    assert not made.missed
    set_mark(schedule, made.next_fire_at)
    return [each.scheduled_for for each in made.fire]
