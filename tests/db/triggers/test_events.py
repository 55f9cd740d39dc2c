"""Events that start runs: which, how often, and what keeps them from it."""

import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from pipelines.port import PipelinePort
from scheduling.core.topics import STARTS_NOTHING
from scheduling.errors import NotValid
from scheduling.events.models import Event
from scheduling.events.operations import publish
from scheduling.models import DueWork, Run, Schedule, Task
from scheduling.runs.states import RunState, SkipReason
from scheduling.schedules.models import ScheduleState
from scheduling.schedules.operations import add_schedule, pause_schedule, resume_schedule, update_schedule
from scheduling.tasks.operations import pause_task, resume_task
from scheduling.triggers import admitting
from scheduling.triggers.admitting import Moment, start
from tests.db.api.gateway import gateway_of
from tests.db.triggers.conftest import ACTOR, listen
from tests.factories import DueWorkFactory, RunFactory, TaskFactory

pytestmark = pytest.mark.django_db


def tell(topic: str = "order.paid", payload: Mapping[str, Any] | None = None) -> list[Any]:
    return publish(actor=ACTOR, topic=topic, payload=payload or {}).run_ids


@pytest.mark.parametrize(
    ("pattern", "topic", "fires"),
    [
        ("order.paid", "order.paid", True),
        ("order.*", "order.paid", True),
        ("*.paid", "order.paid", True),
        ("order.**", "order.paid.twice", True),
        ("**", "anything", True),
        ("order.*", "order", False),
        ("order.*", "order.paid.twice", False),
        ("order.**", "order", False),
        ("order.paid", "order.Paid", False),
    ],
)
def test_a_pattern_says_which_topics_start_a_run(pattern: str, topic: str, fires: bool) -> None:
    schedule = listen(pattern)

    started = tell(topic)

    assert [run.pk for run in Run.objects.filter(schedule=schedule)] == started
    assert bool(started) == fires


def test_a_run_carries_its_event_and_is_counted() -> None:
    schedule = listen()

    (run_id,) = tell(payload={"total": 12})

    run = Run.objects.get(pk=run_id)
    schedule.refresh_from_db()
    assert (run.trigger_kind, run.event, run.scheduled_for) == ("event", Event.objects.get(), None)
    assert (schedule.fired_count, schedule.state, schedule.next_fire_at) == (1, "active", None)
    assert schedule.last_fired_at is not None
    assert DueWork.objects.filter(pk=run_id).exists()


def test_a_filter_lets_only_those_through_that_it_holds_for() -> None:
    listen(filter="event.payload.total > `100` && event.topic == 'order.paid'")

    assert tell(payload={"total": 99}) == []
    assert len(tell(payload={"total": 101})) == 1
    assert tell(payload={}) == []


def test_a_filter_that_failed_once_is_well_when_it_lets_an_event_go_by() -> None:
    schedule = listen(filter="div(10, event.payload.parts) > 100")

    tell(payload={"parts": 0})
    schedule.refresh_from_db()
    failed = schedule.state_reason
    tell(payload={"parts": 5})

    schedule.refresh_from_db()
    assert "cannot be evaluated" in failed
    assert (schedule.state_reason, schedule.fired_count) == ("", 0)


def test_why_a_start_was_refused_is_not_forgotten_for_an_event_that_is_let_by() -> None:
    schedule = listen(filter="event.payload.parts > 100")
    Schedule.objects.filter(pk=schedule.pk).update(state_reason="The run cannot be started: no key")

    tell(payload={"parts": 5})

    schedule.refresh_from_db()
    assert schedule.state_reason == "The run cannot be started: no key"


def test_a_filter_that_fails_starts_nothing_and_says_so() -> None:
    schedule = listen(filter="div(10, event.payload.parts) > 1")
    other = listen()

    started = tell(payload={"parts": 0})

    schedule.refresh_from_db()
    assert [Run.objects.get(pk=run_id).schedule_id for run_id in started] == [other.pk]
    assert (schedule.state, schedule.skipped_count, schedule.fired_count) == ("active", 1, 0)
    assert "filter" in schedule.state_reason
    assert len(tell(payload={"parts": 2})) == 2
    schedule.refresh_from_db()
    assert schedule.state_reason == ""


@pytest.mark.parametrize(
    "keys",
    [
        {"concurrency_key": "${params.city}", "concurrency_limit": 1},
        {"dedupe_key": "${params.city}", "dedupe_window": timedelta(hours=1)},
    ],
)
def test_a_task_that_cannot_be_started_keeps_no_other_from_an_event(keys: Any) -> None:
    before, broken, after = listen(), listen(task=TaskFactory(**keys)), listen()

    started = tell()

    broken.refresh_from_db()
    assert {Run.objects.get(pk=run_id).schedule_id for run_id in started} == {before.pk, after.pk}
    assert Run.objects.count() == 2
    assert (broken.state, broken.fired_count, broken.skipped_count) == ("active", 0, 1)
    assert broken.state_reason.startswith("The run cannot be started: The key '${params.city}' is null")
    Task.objects.filter(pk=broken.task_id).update(
        concurrency_key="", concurrency_limit=None, dedupe_key="", dedupe_window=None
    )
    assert len(tell()) == 3
    broken.refresh_from_db()
    assert broken.state_reason == ""


def test_an_error_of_the_connection_is_the_publishers_and_nothing_is_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    schedule = listen()

    def break_down(*_: Any) -> None:
        raise OperationalError("the server went away")

    monkeypatch.setattr(admitting, "admit", break_down)
    with pytest.raises(OperationalError):
        tell()

    schedule.refresh_from_db()
    assert (schedule.skipped_count, schedule.state_reason, Event.objects.count()) == (0, "", 0)


def test_an_agent_is_told_of_its_own_runs_only() -> None:
    other = listen()
    api = gateway_of()
    own = listen(task=TaskFactory(agent=api.agent))

    told = api.post("events", {"topic": "order.paid"}).json()["runs"]

    assert told == [str(Run.objects.get(schedule=own).pk)]
    assert Run.objects.filter(schedule=other).count() == 1


def test_paused_held_and_deleted_schedules_do_not_listen() -> None:
    paused, held, deleted = listen(), listen(), listen()
    pause_schedule(actor=ACTOR, schedule=paused, reason="a holiday")
    pause_task(actor=ACTOR, task=held.task)
    deleted.delete()

    assert tell() == []

    resume_schedule(actor=ACTOR, schedule=paused)
    resume_task(actor=ACTOR, task=held.task)
    assert len(tell()) == 2


def test_the_overlap_policy_holds_for_events_too() -> None:
    task = TaskFactory(overlap="skip")
    DueWorkFactory(run=RunFactory(task=task))
    schedule = listen(task=task)

    assert tell() == []

    schedule.refresh_from_db()
    skipped = Run.objects.get(schedule=schedule)
    assert (skipped.state, skipped.skip_reason) == (RunState.SKIPPED, SkipReason.OVERLAP)
    assert (schedule.fired_count, schedule.skipped_count) == (0, 1)


def test_one_event_starts_a_schedule_once_however_often_it_is_told() -> None:
    schedule = listen()
    (first,) = tell()
    event = Event.objects.get()

    again = start([schedule], Moment(event=event, trigger_kind="event"))  # type: ignore[arg-type]

    schedule.refresh_from_db()
    assert (again.runs, again.refused) == ([], [])
    assert [run.pk for run in Run.objects.all()] == [first]
    assert schedule.fired_count == 1


def test_the_last_of_its_runs_completes_a_schedule() -> None:
    schedule = listen(max_occurrences=2)

    assert [len(tell()) for _ in range(3)] == [1, 1, 0]

    schedule.refresh_from_db()
    assert (schedule.state, schedule.fired_count) == (ScheduleState.COMPLETED, 2)
    update_schedule(actor=ACTOR, schedule=schedule, changes={"max_occurrences": 3})
    assert len(tell()) == 1


def test_an_event_that_is_too_deep_starts_nothing(settings: Any) -> None:
    settings.ORDINAUT_MAX_EVENT_DEPTH = 3
    listen()

    assert len(publish(actor=ACTOR, topic="order.paid", depth=3).run_ids) == 1
    assert publish(actor=ACTOR, topic="order.paid", depth=4).run_ids == []


def test_an_event_that_is_refused_starts_nothing() -> None:
    listen("**")

    with pytest.raises(NotValid):
        publish(actor=ACTOR, topic="not a topic")

    assert not Run.objects.exists()


def test_a_schedule_in_time_may_become_one_that_listens_and_back() -> None:
    schedule = add_schedule(actor=ACTOR, task=TaskFactory(), definition={"kind": "cron", "expression": "0 8 * * *"})

    listening = update_schedule(actor=ACTOR, schedule=schedule, changes={"kind": "event", "expression": "order.paid"})
    assert (listening.state, listening.next_fire_at) == ("active", None)
    assert len(tell()) == 1

    timed = update_schedule(actor=ACTOR, schedule=schedule, changes={"kind": "cron", "expression": "0 8 * * *"})
    assert timed.next_fire_at is not None
    assert tell() == []


@pytest.mark.parametrize(
    ("definition", "pointer", "code"),
    [
        ({"expression": "order."}, "/expression", "invalid_topic"),
        ({"expression": " order.paid"}, "/expression", "invalid_topic"),
        ({"expression": "order.paid\n"}, "/expression", "invalid_topic"),
        ({"expression": "order.**.paid"}, "/expression", "invalid_topic"),
        ({"expression": "a.b.c.d.e.f.g.h.i.j.k"}, "/expression", "invalid_topic"),
        ({"expression": "*.*.*.*"}, "/expression", "invalid_topic"),
        ({"expression": ""}, "/expression", "invalid_topic"),
        *(({"expression": topic}, "/expression", "invalid_topic") for topic in sorted(STARTS_NOTHING)),
        ({"filter": "event..x"}, "/filter", "syntax"),
        ({"filter": "evnt.payload"}, "/filter", "unknown_name"),
        ({"filter": "outputs.met"}, "/filter", "unknown_name"),
        ({"filter": "frobnicate(event)"}, "/filter", "unknown_function"),
        ({"ends_at": "2030-01-01T00:00:00Z"}, "/ends_at", "not_for_this_kind"),
        ({"jitter": "PT5S"}, "/jitter", "not_for_this_kind"),
        ({"starts_at": "2030-01-01T00:00:00"}, "/starts_at", "not_for_this_kind"),
        ({"misfire": {"policy": "all", "limit": 5}}, "/misfire", "not_for_this_kind"),
        ({"filter": "secrets.token"}, "/filter", "unknown_name"),
        ({"exdates": ["2030-01-01T00:00:00"]}, "/exdates", "not_for_this_kind"),
        ({"after": "other"}, "/after", "not_for_this_kind"),
        ({"check": {"version": 1, "steps": [{"id": "a", "set": {"b": 1}}]}}, "/check", "not_for_this_kind"),
        ({"kind": "cron", "expression": "* * * * *", "filter": "event"}, "/filter", "not_for_this_kind"),
    ],
)
def test_what_makes_no_listener_is_refused_with_its_place(definition: Any, pointer: str, code: str) -> None:
    with pytest.raises(NotValid) as refused:
        listen(**{"expression": "order.*", **definition})

    assert [(problem.pointer, problem.code) for problem in refused.value.problems] == [(pointer, code)]
    assert not Schedule.objects.exists()


_LIST = f"`[{','.join(map(str, range(24)))}]`"
HEAVY = f"length({_LIST}[*].[{_LIST}[*].[{_LIST}[*].[@]]]) > `1000`"


class CountingPort:
    """The real judge, and how often it was asked."""

    asked = 0

    def __init__(self) -> None:
        self._real = PipelinePort()

    def judge(self, expression: str, context: Mapping[str, Any], *, fuel: int) -> Any:
        type(self).asked += 1
        return self._real.judge(expression, context, fuel=fuel)


def test_equal_filters_of_a_task_are_judged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CountingPort, "asked", 0)
    monkeypatch.setattr("scheduling.triggers.filters.pipeline_port", CountingPort)
    task = TaskFactory()
    for _ in range(5):
        listen("order.*", task=task, filter="event.payload.total > `10`")
    listen("order.*", filter="event.payload.total > `10`")

    assert len(tell(payload={"total": 12})) == 6
    assert CountingPort.asked == 2


def test_the_filters_of_one_agent_take_so_much_work_and_no_more_and_others_are_judged() -> None:
    greedy = TaskFactory()
    schedules = [listen("**", task=greedy, filter=f"{HEAVY} && `{number}` > `-1`") for number in range(60)]
    modest = listen("**", filter="event.payload.total > `10`")

    began = time.monotonic()
    started = tell("innocent.x", payload={"total": 12})
    took = time.monotonic() - began

    assert [run.schedule_id for run in Run.objects.filter(pk__in=started)] == [modest.pk]
    reasons = list(
        Schedule.objects.filter(pk__in=[schedule.pk for schedule in schedules], skipped_count=1).values_list(
            "state_reason", flat=True
        )
    )
    assert any("take too much work together" in reason for reason in reasons)
    assert 0 < len(reasons) < 60
    assert took < 5


def test_all_filters_of_an_event_have_their_limit_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scheduling.triggers.judging.FUEL_OF_EVENT", 500)
    for number in range(4):
        listen("**", filter=f"event.payload.total > `{number}`")

    started = tell(payload={"total": 12})

    refused = Schedule.objects.filter(state_reason__contains="the filters of all agents take too much work")
    assert 0 < len(started) < 4
    assert len(started) + refused.count() == 4


def test_a_listener_whose_filter_does_not_hold_is_not_waited_for() -> None:
    for _ in range(20):
        listen("order.*", filter="event.payload.total > `100`")

    with CaptureQueriesContext(connection) as queries:
        assert tell(payload={"total": 12}) == []

    assert not [query["sql"] for query in queries if "FOR NO KEY UPDATE" in query["sql"]]


def test_a_schedule_that_is_edited_between_judging_and_locking_is_judged_again(monkeypatch: pytest.MonkeyPatch) -> None:
    schedule = listen("order.*", filter="event.payload.total > `10`")
    lock = admitting.locked

    def edited_first(*given: Any) -> list[Schedule]:
        Schedule.objects.filter(pk=schedule.pk).update(filter="event.payload.total > `100`")
        return lock(*given)

    monkeypatch.setattr(admitting, "locked", edited_first)

    assert tell(payload={"total": 12}) == []


@pytest.mark.parametrize("unknown", ["outputs.met", "secrets.token", "item"])
def test_the_hint_of_a_filter_names_what_is_known_there_and_no_place_of_a_document(unknown: str) -> None:
    api = gateway_of()
    task = TaskFactory(agent=api.agent)
    definition = {"kind": "event", "expression": "order.paid", "filter": unknown}

    answer = api.post(f"tasks/{task.pk}/schedules", definition)

    [error] = [each for each in answer.json()["errors"] if each["pointer"] == "/filter"]
    assert error["hint"] == "known here: event, now, task"


def test_what_every_row_has_may_be_sent_back_as_it_was_read() -> None:
    api = gateway_of()
    task = TaskFactory(agent=api.agent)
    made = api.post(f"tasks/{task.pk}/schedules", {"kind": "event", "expression": "order.paid"}).json()

    as_read = {name: made[name] for name in ("starts_at", "misfire", "expression", "gap", "fold")}
    answer = api.patch(f"schedules/{made['id']}", as_read)
    moved = api.patch(f"schedules/{made['id']}", {"starts_at": "2001-01-01T00:00:00"})

    assert answer.status_code == 200, answer.content
    assert moved.json()["errors"][0]["code"] == "not_for_this_kind"
