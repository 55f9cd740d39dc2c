"""Runs that wait for events: which one counts, whatever is committed in which order, and when the time is over."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection, transaction

from scheduling.audit.operations import Actor
from scheduling.events.models import Event
from scheduling.events.operations import publish, store
from scheduling.models import DueWork, Run
from scheduling.runs.operations import cancel_run
from tests.db.workers.test_execution import Tools, run_once
from tests.db.workers.test_reaper import with_reaper
from tests.factories import AgentFactory, WorkerFactory
from tests.races.workers.test_retention import in_a_thread
from tests.workers_support import due_work, reload, run_of
from workers.answering import events, turns
from workers.explain import explain, explainable
from workers.models import Question, Wait

pytestmark = pytest.mark.django_db(transaction=True)


def waiting(*, steps: Any = (), **asked: Any) -> dict[str, Any]:
    wait = {"id": "paid", "wait_for_event": {"topic": "order.paid", **asked}}
    return {"version": 1, "steps": [*steps, wait], "outputs": {"event": "${steps.paid}"}}


def work_of(document: dict[str, Any], **params: Any) -> DueWork:
    return due_work(document, params=params or None)


def tell(topic: str = "order.paid", **payload: Any) -> Event:
    return publish(actor=Actor.of_agent(AgentFactory()), topic=topic, payload=payload).event


def answer() -> turns.Turn:
    return turns.take_turn(events.Progress())


def apart(work: Any) -> Any:
    try:
        return work()
    finally:
        connection.close()


def go_on() -> None:
    run_once(Tools())


def come_to(work: DueWork) -> Any:
    """What the run has waited for, once it has ended well."""
    go_on()
    run = run_of(work)
    assert run.state == "succeeded", run.error
    return run.output["event"]


def make_over(seconds: float = 1) -> datetime:
    """As if the time were over since so many seconds."""
    at = datetime.now(UTC) - timedelta(seconds=seconds)
    Question.objects.update(until=at)
    return at


def test_a_run_gives_its_worker_away_and_goes_on_with_the_event():
    work = work_of(waiting(timeout="PT1H"))
    go_on()
    question, parked = Question.objects.get(), reload(work)
    assert (run_of(work).state, parked.lease_owner, question.topic) == ("waiting", None, "order.paid")
    assert parked.available_at > datetime.now(UTC) + timedelta(minutes=59)
    reason = next(iter(explain(explainable(work.pk)).reasons))
    assert reason.code == "waiting_event"
    assert reason.sentence.startswith("Step paid waits for an event of order.paid until 20")

    event = tell(amount=5)
    assert answer().answered == 1

    assert reload(work).available_at <= datetime.now(UTC)
    assert come_to(work) == {
        "id": str(event.pk),
        "topic": "order.paid",
        "payload": {"amount": 5},
        "at": event.created_at.isoformat().replace("+00:00", "Z"),
    }
    question.refresh_from_db()
    assert (question.outcome, question.subject_id, question.closed_at is None) == ("answered", event.pk, False)
    assert not Event.objects.filter(is_unmatched=True).exists()


def test_an_event_that_came_before_the_step_but_within_the_run_counts():
    work = work_of(waiting())
    event = tell()
    answer()
    go_on()

    assert answer().answered == 1
    assert come_to(work)["id"] == str(event.pk)


def test_of_those_before_the_run_only_the_buffered_count():
    early, late = work_of(waiting()), work_of(waiting(buffered="PT10M"))
    event = tell()
    answer()
    Event.objects.update(created_at=datetime.now(UTC) - timedelta(minutes=5))
    Run.objects.update(created_at=datetime.now(UTC) - timedelta(minutes=1))
    go_on()
    go_on()

    assert answer().answered == 1
    assert Question.objects.get(run=late.run).subject_id == event.pk
    assert Question.objects.get(run=early.run).answer is None


def test_the_first_that_the_filter_holds_for_is_taken():
    work = work_of(waiting(filter="event.payload.id == params.id && event.payload.n > `1`"), id=7)
    go_on()
    for payload in ({"id": 8, "n": 5}, {"id": 7, "n": 1}, {"id": 7, "n": 2}, {"id": 7, "n": 3}):
        tell("order.paid", **payload)

    answer()

    assert come_to(work)["payload"] == {"id": 7, "n": 2}


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize(
    ("pattern", "topic", "matches"),
    [
        ("order.*", "order.paid", True),
        ("order.*", "order", False),
        ("order.*", "order.paid.twice", False),
        ("order.**", "order.paid.twice", True),
        ("order.**", "order", False),
        ("**", "anything", True),
        ("*.paid", "order.paid", True),
        ("*.paid", "order.paid.x", False),
        ("order-1.paid", "order-1.paid", True),
        ("order_1.paid", "order-1.paid", False),
    ],
)
def test_patterns_match_as_those_of_schedules_do(pattern: str, topic: str, matches: bool, before: bool):
    """Through the index of questions, where the event comes later, and through the table of events, where before."""
    work_of(waiting(topic=pattern))
    if before:
        tell(topic)
        answer()
        go_on()
    else:
        go_on()
        answer()
        tell(topic)

    assert answer().answered == int(matches)


def test_a_time_out_fails_the_step_or_gives_null():
    failing, content = work_of(waiting(timeout="PT1H")), work_of(waiting(timeout="PT1H", on_timeout="continue"))
    go_on()
    go_on()
    make_over()

    assert answer().answered == 2
    go_on()
    go_on()

    assert run_of(failing).error["code"] == "timeout"
    assert "no event of order.paid has come within PT1H" in run_of(failing).error["detail"]
    assert run_of(content).output == {"event": None}
    assert set(Question.objects.values_list("outcome", flat=True)) == {"expired"}


def hold_and_die(work: DueWork) -> None:
    """A process has claimed the parked run, and dies."""
    dead = WorkerFactory()
    DueWork.objects.filter(pk=work.pk).update(
        lease_owner=dead.boot_id, lease_epoch=9, claimed_at=datetime.now(UTC), available_at=datetime.now(UTC)
    )
    with_reaper(lambda reaper: reaper.reap(dead.boot_id, dead.beat_number))


def hold_and_hand_back(work: DueWork) -> None:
    """A process has claimed the parked run, and drains."""
    DueWork.objects.filter(pk=work.pk).update(available_at=datetime.now(UTC), handback_count=1)
    Run.objects.filter(pk=work.pk).update(state="queued")


@pytest.mark.parametrize("part_with", [hold_and_die, hold_and_hand_back])
@pytest.mark.parametrize("is_answered", [True, False])
def test_a_question_is_closed_with_its_step_though_the_process_that_took_the_run_up_is_gone(part_with, is_answered):
    work = work_of(waiting(timeout="PT1H", on_timeout="continue", steps=[]))
    go_on()
    if is_answered:
        tell()
    else:
        make_over()
    assert answer().answered == 1
    part_with(work)

    go_on()

    question = Question.objects.get()
    assert run_of(work).state == "succeeded"
    assert (question.outcome, question.closed_at is None) == ("answered" if is_answered else "expired", False)
    assert not Wait.objects.exists()


def test_an_event_in_time_counts_though_nobody_was_there_to_judge_it():
    """All worker hosts were down, the time is long over when they come back."""
    work = work_of(waiting(timeout="PT1H"))
    go_on()
    event = tell()
    over = make_over(60)
    Event.objects.update(created_at=over - timedelta(seconds=1))
    Run.objects.update(created_at=over - timedelta(hours=1))

    go_on()  # it wakes up by itself, finds no answer, and does not believe that there is none
    assert run_of(work).state == "waiting"
    answer()

    assert come_to(work)["id"] == str(event.pk)


def test_an_event_after_the_end_is_too_late():
    work = work_of(waiting(timeout="PT1H"))
    go_on()
    make_over()
    tell()

    answer()
    go_on()

    assert run_of(work).error["code"] == "timeout"


def test_a_step_in_a_loop_takes_each_event_once():
    body = [{"id": "one", "wait_for_event": {"topic": "order.paid"}}]
    loop = {"id": "all", "for_each": "${[0, 1, 2]}", "steps": body, "collect": "${steps.one.payload.n}"}
    work = work_of({"version": 1, "steps": [loop], "outputs": {"ns": "${steps.all}"}})
    for n in range(4):
        tell(n=n)

    for _ in range(3):
        go_on()
        answer()
    go_on()

    assert run_of(work).output == {"ns": [0, 1, 2]}


def test_iterations_side_by_side_take_different_events():
    body = [{"id": "one", "wait_for_event": {"topic": "order.paid"}}]
    loop = {"id": "all", "for_each": "${[0, 1]}", "concurrency": 2, "steps": body, "collect": "${steps.one.payload.n}"}
    work = work_of({"version": 1, "steps": [loop], "outputs": {"ns": "${sort(steps.all)}"}})
    go_on()
    assert Question.objects.count() == 2
    tell(n=1)
    tell(n=2)

    assert answer().answered == 2
    go_on()

    assert run_of(work).output == {"ns": [1, 2]}


def test_two_steps_see_the_same_event():
    wait = {"topic": "order.paid"}
    branches = {"a": [{"id": "x", "wait_for_event": wait}], "b": [{"id": "y", "wait_for_event": wait}]}
    work = work_of(
        {"version": 1, "steps": [{"id": "both", "parallel": {"branches": branches}}], "outputs": {"b": "${steps.both}"}}
    )
    go_on()
    event = tell()

    assert answer().answered == 2
    go_on()

    assert {each["id"] for each in run_of(work).output["b"].values()} == {str(event.pk)}


def test_a_filter_that_cannot_be_judged_fails_the_step_where_it_stands():
    work = work_of(waiting(filter="div(`1`, event.payload.n) > `0`", timeout="PT1H"))
    go_on()
    tell(n=0)

    answer()
    go_on()

    error = run_of(work).error
    assert (error["class"], error["pointer"]) == ("expression", "/steps/0/wait_for_event/filter")
    assert "cannot be judged over the event" in error["detail"]


def test_a_filter_reads_what_the_run_knew_when_it_began_to_wait():
    first = {"id": "made", "set": {"order": {"id": 7}, "other": "x" * 1000}}
    work = work_of(waiting(steps=[first], filter="event.payload.id == steps.made.order.id"))
    go_on()
    assert Question.objects.get().asks["names"] == {"steps": {"made": {"order": {"id": 7}, "other": "x" * 1000}}}
    tell(id=6)
    tell(id=7)

    answer()

    assert come_to(work)["payload"] == {"id": 7}


def test_what_a_filter_reads_of_the_run_is_bounded():
    work = work_of(waiting(filter="event.payload.x == params.x"), x="y" * 70_000)

    go_on()

    assert (run_of(work).error["code"], run_of(work).error["class"]) == ("too_large", "limit")


def test_an_event_that_is_committed_after_the_question_was_judged_is_found():
    work = work_of(waiting())

    with transaction.atomic():
        store(topic="order.paid", payload={}, agent_id=None, depth=0)
        in_a_thread(go_on)()
        assert in_a_thread(answer)().answered == 0
        assert not in_a_thread(Question.objects.filter(is_pending=True).exists)()

    assert answer().answered == 1
    assert come_to(work)["topic"] == "order.paid"


def test_a_question_that_is_committed_after_the_event_was_judged_finds_it():
    work = work_of(waiting())
    go_on()
    question = Question.objects.get()
    question.delete()

    with transaction.atomic():
        question.save(force_insert=True)
        in_a_thread(tell)()
        assert in_a_thread(answer)().answered == 0
        assert not in_a_thread(Event.objects.filter(is_unmatched=True).exists)()

    assert answer().answered == 1
    assert come_to(work)["topic"] == "order.paid"


def test_what_somebody_has_locked_is_answered_the_next_time():
    work = work_of(waiting())
    go_on()
    answer()
    tell()

    with transaction.atomic():
        DueWork.objects.select_for_update().get(pk=work.pk)
        turn = in_a_thread(answer)()
    assert (turn.answered, turn.is_more) == (0, True)
    assert Event.objects.get().is_unmatched

    assert answer().answered == 1


def test_one_host_judges_at_a_time():
    work_of(waiting())
    go_on()
    tell()

    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", turns._LOCK)
        assert in_a_thread(answer)().answered == 0

    assert answer().answered == 1


def test_a_turn_that_is_too_short_goes_on_where_it_was(monkeypatch):
    monkeypatch.setattr(turns, "TURN", 0)
    monkeypatch.setattr(events, "PAGE", 2)
    works = [work_of(waiting()) for _ in range(5)]
    for _ in works:
        go_on()
    progress = events.Progress()
    while turns.take_turn(progress).is_more:
        pass
    tell()

    seen = 0
    for _ in range(20):
        seen += turns.take_turn(progress).answered

    assert seen == 5
    assert progress == events.Progress()


def test_an_answer_that_comes_while_a_process_holds_the_run_wakes_it_when_it_parks():
    """One branch waits for the event, the other keeps the slot; the journal sees that the row was moved."""
    branches = {
        "wait": [{"id": "paid", "wait_for_event": {"topic": "order.paid"}}],
        "work": [{"id": "nap", "uses": "test.call", "with": {}}, {"id": "ok", "approval": {"title": "?"}}],
    }
    work = work_of({"version": 1, "steps": [{"id": "both", "parallel": {"branches": branches}}]})

    class Telling(Tools):
        async def call(self, context: Any, /, **given: Any) -> Any:
            while not await asyncio.to_thread(apart, Question.objects.exists):
                await asyncio.sleep(0.02)
            await asyncio.to_thread(apart, tell)
            assert (await asyncio.to_thread(apart, answer)).answered == 1
            return {}

    run_once(Telling())

    parked = reload(work)
    assert (parked.lease_owner, parked.available_at <= datetime.now(UTC)) == (None, True)


def test_a_run_that_was_canceled_is_answered_no_more():
    work = work_of(waiting())
    go_on()
    cancel_run(actor=Actor.system("tests"), run=run_of(work))
    tell()

    answer()
    with_reaper(lambda reaper: reaper.sweep())

    question = Question.objects.get()
    assert (question.answer, question.outcome) == (None, "withdrawn")
    assert not Event.objects.filter(is_unmatched=True).exists()


def test_thousands_of_events_that_nobody_waits_for_are_done_with_soon():
    Event.objects.bulk_create(Event(topic="a.b", is_unmatched=True) for _ in range(2000))

    began = time.monotonic()
    while answer().answered or Event.objects.filter(is_unmatched=True).exists():
        assert time.monotonic() - began < 20
