"""A row that nobody can read or compute is passed over by the auditor, by name, and keeps nobody's hole from it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import DataError, OperationalError, connection
from structlog.testing import capture_logs

from scheduling.clock import accounting, hearing, overdue
from scheduling.clock.accounting import Auditor, audit
from scheduling.events.models import Event
from scheduling.events.operations import hear
from scheduling.models import Miss, Run, Schedule
from scheduling.schedules import holes
from scheduling.schedules.holes import tell
from scheduling.schedules.models import ScheduleState
from scheduling.schedules.rules import rule_of
from tests.factories import ScheduleFactory

pytestmark = pytest.mark.django_db(transaction=True)

AHEAD = timedelta(minutes=10)


def unaudited(**fields: Any) -> Schedule:
    """Not due, and not looked at for some minutes, in which it should have run."""
    now = datetime.now(UTC)
    return ScheduleFactory(next_fire_at=now + AHEAD, accounted_until=now - timedelta(minutes=5), **fields)


def write(schedule: Schedule, assignment: str) -> None:
    """By hand, past the table's own conditions: a table that was restored may not have them."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT conname FROM pg_constraint WHERE conrelid = 'scheduling_schedule'::regclass AND contype = 'c'"
        )
        checks = [name for (name,) in cursor.fetchall()]
        cursor.execute("ALTER TABLE scheduling_schedule " + ", ".join(f"DROP CONSTRAINT {name}" for name in checks))
        cursor.execute(f"UPDATE scheduling_schedule SET {assignment} WHERE id = %s", [schedule.pk])


@pytest.fixture(autouse=True)
def table_as_it_was() -> Any:
    """What `write` drops is there again afterwards, and the row is gone."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint"
            " WHERE conrelid = 'scheduling_schedule'::regclass AND contype = 'c'"
        )
        checks = cursor.fetchall()
    yield
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE scheduling_schedule CASCADE")
        for name, definition in checks:
            cursor.execute(f"ALTER TABLE scheduling_schedule DROP CONSTRAINT IF EXISTS {name}")
            cursor.execute(f"ALTER TABLE scheduling_schedule ADD CONSTRAINT {name} {definition}")


@pytest.mark.parametrize("state", [ScheduleState.ACTIVE, ScheduleState.PAUSED])
@pytest.mark.parametrize(
    "assignment",
    [
        "exdates = ARRAY[NULL]::timestamp[]",
        "rdates = ARRAY[NULL]::timestamp[]",
        "exdates = ARRAY['infinity']::timestamp[]",
        "ends_at = 'infinity'",
        "ends_at = '-infinity'",
        "starts_at = 'infinity'",
        "next_fire_at = 'infinity'",
        "misfire_grace = '100000000 years'",
    ],
)
def test_a_row_that_cannot_be_computed_is_passed_over(assignment: str, state: str) -> None:
    before, bad, after = unaudited(), unaudited(state=state), unaudited()
    write(bad, assignment)

    with capture_logs() as logs:
        told = Auditor().round(spend=5)

    assert told == Miss.objects.filter(schedule=before).get().count + Miss.objects.filter(schedule=after).get().count
    assert not Miss.objects.filter(schedule=bad).exists()
    (word,) = [entry for entry in logs if entry.get("schedule") == str(bad.pk)]
    found, reason = Schedule.objects.filter(pk=bad.pk).values_list("state", "state_reason").get()
    if state == ScheduleState.ACTIVE:
        assert (word["event"], word["log_level"]) == ("schedule.quarantined", "error")
        assert found == ScheduleState.QUARANTINED
        assert reason.startswith("cannot be audited: ")
        assert word["reason"] == reason
    else:
        assert (word["event"], word["log_level"]) == ("schedule.not_audited", "warning")
        assert (found, reason) == (state, "")


@pytest.mark.parametrize("mark", ["-infinity", "4000-01-01 BC"])
def test_a_mark_before_all_times_stops_no_word_of_others(mark: str) -> None:
    bad, hole = unaudited(), unaudited()
    write(bad, f"next_fire_at = '{mark}'")
    due = datetime.now(UTC) - timedelta(hours=2)
    late = ScheduleFactory(next_fire_at=due, accounted_until=due - timedelta(microseconds=1))

    assert audit() == 1 + Miss.objects.get(schedule=hole).count
    assert Event.objects.get(topic="schedule.overdue").payload["schedule"] == str(late.pk)
    assert overdue.read_overdue().count == 1


@pytest.mark.parametrize("error", [OSError("no file descriptor left"), RecursionError()])
def test_what_this_process_lacks_is_no_schedule_s_fault(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    poor, hole = unaudited(), unaudited()

    def failing(schedule: Schedule) -> Any:
        if schedule.pk == poor.pk:
            raise error
        return rule_of(schedule)

    monkeypatch.setattr(holes, "rule_of", failing)
    assert Auditor().round(spend=5) == Miss.objects.get(schedule=hole).count

    poor.refresh_from_db()
    assert poor.state == ScheduleState.ACTIVE
    monkeypatch.undo()
    assert Auditor().round(spend=5) == Miss.objects.get(schedule=poor).count


def test_a_lost_connection_is_everybody_s(monkeypatch: pytest.MonkeyPatch) -> None:
    unaudited()

    def failing(_: Schedule) -> Any:
        raise OperationalError("the connection is lost")

    monkeypatch.setattr(holes, "rule_of", failing)
    with pytest.raises(OperationalError):
        Auditor().round(spend=5)


def test_one_whose_word_cannot_be_written_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    first, bad, last = unaudited(), unaudited(), unaudited()

    def refusing(stretch: Any, missing: Any) -> Event:
        if stretch.schedule.pk == bad.pk:
            raise DataError("integer out of range")
        return tell(stretch, missing)

    monkeypatch.setattr(accounting, "tell", refusing)
    with capture_logs() as logs:
        told = Auditor().round(spend=5)

    assert told == Miss.objects.get(schedule=first).count + Miss.objects.get(schedule=last).count
    assert [entry["schedule"] for entry in logs if entry["event"] == "schedule.not_audited"] == [str(bad.pk)]


def test_who_listens_for_a_hole_is_started_though_another_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    listener = ScheduleFactory(kind="event", expression="schedule.did_not_run", next_fire_at=None)
    first, _ = unaudited(), unaudited()

    def failing(event: Event) -> Any:
        if event.payload["schedule"] == str(first.pk):
            raise RuntimeError("held up")
        return hear(event)

    monkeypatch.setattr(hearing, "hear", failing)
    Auditor().round(spend=5)

    assert Event.objects.count() == 2
    assert Run.objects.get().schedule_id == listener.pk
