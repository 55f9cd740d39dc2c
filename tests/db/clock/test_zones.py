"""Zone data that changed, and zones that are gone."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from structlog.testing import capture_logs

from scheduling.audit.models import AuditEntry
from scheduling.audit.operations import Actor
from scheduling.clock import zones
from scheduling.clock.accounting import Auditor
from scheduling.clock.firing import run_pass
from scheduling.clock.zones import apply_zone_data
from scheduling.errors import NotValid
from scheduling.events.models import Event, Outbox
from scheduling.events.operations import publish
from scheduling.events.topics import RESERVED, ZONES_UPDATED
from scheduling.models import Miss, Run, Schedule
from scheduling.schedules.models import ScheduleState
from scheduling.schedules.operations import resume_schedule
from scheduling.schedules.rules import recurrence_of
from tests.by_hand import write_by_hand
from tests.factories import AgentFactory, OperatorFactory, ScheduleFactory
from workers.statements import PRUNE_EVENTS

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def restart(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that has just started remembers nothing."""
    monkeypatch.setattr(zones, "_applied", set())


def daily(*, off_by: timedelta = timedelta(0), **fields: Any) -> Schedule:
    """At nine in Berlin, its mark computed by rules that saw nine elsewhere."""
    schedule = ScheduleFactory.build(expression="0 9 * * *", timezone="Europe/Berlin")
    mark = recurrence_of(schedule).next_after(datetime.now(UTC) + timedelta(days=2))
    assert mark is not None
    return ScheduleFactory(
        **{"expression": f"0 9 {mark.day} {mark.month} *", "timezone": "Europe/Berlin", **fields},
        next_fire_at=mark + off_by,
    )


def test_new_zone_data_moves_the_marks_that_lie_ahead_once_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    right = daily()
    wrong = daily(off_by=timedelta(hours=1))
    paused = daily(off_by=timedelta(hours=1), state=ScheduleState.PAUSED)

    assert apply_zone_data("2990a") == 2
    monkeypatch.setattr(zones, "_applied", set())
    assert apply_zone_data("2990a") == 0

    for schedule in (right, wrong, paused):
        version, expected = schedule.version, recurrence_of(schedule).next_after(datetime.now(UTC))
        schedule.refresh_from_db()
        assert schedule.next_fire_at == expected
        assert schedule.version == version + (schedule.pk != right.pk)
    assert paused.state == ScheduleState.PAUSED
    assert Event.objects.get().payload == {"release": "2990a", "before": "", "moved": 2}
    entries = AuditEntry.objects.filter(action="schedule.move")
    assert {entry.object_id for entry in entries} == {str(wrong.pk), str(paused.pk)}
    assert Auditor().round() == 0


def test_what_nobody_has_looked_for_before_new_zone_data_is_said() -> None:
    seen = datetime.now(UTC) - timedelta(days=1)
    unseen = daily(off_by=timedelta(hours=1), accounted_until=seen)
    looked_at = daily(off_by=timedelta(hours=1))
    assert looked_at.next_fire_at is not None
    Schedule.objects.filter(pk=looked_at.pk).update(accounted_until=looked_at.next_fire_at - timedelta(microseconds=1))

    with capture_logs() as logs:
        assert apply_zone_data("2990a") == 2

    (word,) = [entry for entry in logs if entry["event"] == "schedule.not_audited"]
    assert (word["schedule"], word["since"]) == (str(unseen.pk), seen.isoformat())


def test_what_nobody_has_looked_for_is_not_judged_by_new_zone_data_though_the_mark_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    apply_zone_data("2990a")
    monkeypatch.setattr(zones, "_applied", set())
    seen = datetime.now(UTC) - timedelta(days=3)
    hourly = {"expression": "0 * * * *", "timezone": "Europe/Berlin", "accounted_until": seen}
    soon = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    active = ScheduleFactory(**hourly, next_fire_at=soon)
    due = ScheduleFactory(**hourly, next_fire_at=soon - timedelta(hours=1))
    quarantined = ScheduleFactory(**hourly, next_fire_at=soon, state=ScheduleState.QUARANTINED)
    over = ScheduleFactory(**hourly, next_fire_at=None, state=ScheduleState.COMPLETED)
    of_no_zone = ScheduleFactory(**{**hourly, "timezone": "UTC"}, next_fire_at=soon)

    with capture_logs() as logs:
        assert apply_zone_data("2990b") == 0

    words = {entry["schedule"]: entry["since"] for entry in logs if entry["event"] == "schedule.not_audited"}
    assert words == {str(each.pk): seen.isoformat() for each in (active, due, quarantined, over)}
    Auditor().round(spend=5)
    assert {miss.schedule_id for miss in Miss.objects.all()} == {of_no_zone.pk}


def test_a_quarantined_schedule_gets_its_mark_by_new_zone_data_when_it_is_resumed() -> None:
    schedule = daily(off_by=timedelta(hours=1), state=ScheduleState.QUARANTINED, state_reason="x")

    assert apply_zone_data("2990a") == 0
    resume_schedule(actor=Actor.system("tests"), schedule=schedule)

    schedule.refresh_from_db()
    assert schedule.next_fire_at == recurrence_of(schedule).next_after(datetime.now(UTC))


def test_a_clock_with_older_data_changes_nothing_nor_does_an_agents_event(monkeypatch: pytest.MonkeyPatch) -> None:
    apply_zone_data("2990b")
    monkeypatch.setattr(zones, "_applied", set())
    wrong = daily(off_by=timedelta(hours=1))
    Event.objects.create(topic=ZONES_UPDATED, payload={"release": "2999z"}, agent=AgentFactory())

    assert apply_zone_data("2990a") == 0
    monkeypatch.setattr(zones, "_applied", set())
    assert apply_zone_data("2990c") == 1

    wrong.refresh_from_db()
    assert wrong.next_fire_at == recurrence_of(wrong).next_after(datetime.now(UTC))


@pytest.mark.parametrize("topic", sorted(RESERVED))
@pytest.mark.parametrize("kind", ["agent", "operator"])
def test_nobody_else_publishes_what_the_clock_tells(topic: str, kind: str) -> None:
    """An operator's events have no agent either, as the clock's have none."""
    actor = Actor.of_agent(AgentFactory()) if kind == "agent" else Actor.of_operator(OperatorFactory())

    with pytest.raises(NotValid) as refused:
        publish(actor=actor, topic=topic, payload={"release": "2999z"})

    assert [(each.pointer, each.code) for each in refused.value.problems] == [("/topic", "reserved_topic")]
    assert not Event.objects.exists()


def test_the_first_release_of_an_installation_is_no_news() -> None:
    daily()

    assert apply_zone_data() == 0

    assert Event.objects.get().payload["release"] == zones.carried_release()
    assert not Outbox.objects.exists()


def test_more_than_a_batch_is_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zones, "BATCH", 3)
    for _ in range(7):
        daily(off_by=timedelta(hours=1))

    assert apply_zone_data("2990a") == 7


def test_a_rule_of_which_new_zone_data_leaves_nothing_keeps_its_mark_until_it_is_set_aside() -> None:
    at = datetime.now(UTC) + timedelta(days=2)
    # By the rules of before 2007 New York has these times.
    schedule = ScheduleFactory(
        expression="30 2 * 3 7#2",
        timezone="America/New_York",
        gap="skip",
        starts_at=datetime(2000, 1, 1),
        next_fire_at=at,
    )

    assert apply_zone_data("2990a") == 0
    run_pass(now=at)

    schedule.refresh_from_db()
    assert (schedule.state, schedule.next_fire_at) == (ScheduleState.QUARANTINED, at)
    assert schedule.state_reason.startswith("never_occurs: ")


def test_a_zone_that_an_update_removed_is_quarantined_and_seen_in_the_console_while_others_fire(client: Any) -> None:
    at = datetime.now(UTC)
    gone = ScheduleFactory(timezone="Europe/Atlantis")
    other = ScheduleFactory(kind="once", expression=at.isoformat(), next_fire_at=at)

    assert apply_zone_data("2990a") == 0
    run_pass()
    client.force_login(OperatorFactory(admin=True))
    page = client.get(f"/admin/scheduling/schedule/{gone.pk}/change/", follow=True).content.decode()

    gone.refresh_from_db()
    assert Run.objects.get().schedule_id == other.pk
    assert gone.state == ScheduleState.QUARANTINED
    assert "Europe/Atlantis" in gone.state_reason
    assert gone.state_reason in page.replace("&#x27;", "'").replace("&quot;", '"')


@pytest.mark.parametrize("state", [ScheduleState.ACTIVE, ScheduleState.PAUSED, ScheduleState.QUARANTINED])
def test_one_row_that_cannot_be_read_keeps_no_other_from_being_moved(state: str) -> None:
    broken = [daily(off_by=timedelta(hours=1), state=state) for _ in range(2)]
    wrong = [daily(off_by=timedelta(hours=1)) for _ in range(3)]
    write_by_hand([each.pk for each in broken], "exdates = ARRAY['infinity']::timestamp[]")

    with capture_logs() as logs:
        assert apply_zone_data("2990a") == 3

    words = {entry["schedule"] for entry in logs if entry["event"] == "schedule.not_moved"}
    assert words == {str(each.pk) for each in broken}
    for each in wrong:
        each.refresh_from_db()
        assert each.next_fire_at == recurrence_of(each).next_after(datetime.now(UTC))


def test_retention_leaves_what_clocks_know_of_the_zone_data() -> None:
    apply_zone_data("2980a")
    Event.objects.create(topic=ZONES_UPDATED, payload={"release": "2999z"}, agent=AgentFactory())
    Event.objects.create(topic="order.paid", payload={})
    Event.objects.update(created_at=datetime.now(UTC) - timedelta(days=31))

    last = str(UUID(int=2**128 - 1))
    page: Any = {"after": str(UUID(int=0)), "before": last, "made_before": last, "look": 100, "limit": 100}
    with connection.cursor() as cursor:
        cursor.execute(PRUNE_EVENTS.decode(), {**page, "age": "30 days"})

    assert Event.objects.get().payload["release"] == "2980a"
