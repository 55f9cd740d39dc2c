"""Operating queues: what is stored, refused and audited."""

import json
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction

from scheduling.audit.models import AuditEntry
from scheduling.audit.operations import Actor
from scheduling.errors import NotValid
from scheduling.instants import database_now
from scheduling.models import DueWork, Queue, RateBucket
from scheduling.queues.operations import pause_queue, resume_queue, update_queue
from scheduling.queues.selectors import bucket_wait, queue_state, queue_states
from scheduling.runs.operations import retry_run
from tests.factories import RunFactory, TaskFactory
from tests.workers_support import due_work

pytestmark = pytest.mark.django_db

ACTOR = Actor.system("tests")
HUNDRED = {"limit": 100, "period": "PT1M"}


def actions():
    return list(AuditEntry.objects.order_by("id").values_list("action", flat=True))


def update(name="default", **changes):
    return update_queue(actor=ACTOR, name=name, changes=changes)


def test_a_queue_that_nobody_has_operated_has_the_defaults_and_no_row():
    state = queue_state("default")

    assert (state.is_paused, state.control.rate_limit, state.control.is_fair, state.control.weight) == (
        False,
        None,
        False,
        1,
    )
    assert not Queue.objects.exists()


def test_pause_and_resume_are_stored_and_audited():
    until = database_now() + timedelta(hours=1)
    pause_queue(actor=ACTOR, name="default", reason="the printer burns", until=until)

    state = queue_state("default")
    assert (state.is_paused, state.control.pause_reason, state.control.paused_until) == (
        True,
        "the printer burns",
        until,
    )

    resume_queue(actor=ACTOR, name="default")

    assert not queue_state("default").is_paused
    assert actions() == ["queue.pause", "queue.resume"]
    assert AuditEntry.objects.first().object_label == "default"


def test_what_changes_nothing_writes_nothing():
    resume_queue(actor=ACTOR, name="default")
    update(weight=1)

    assert not Queue.objects.exists()
    assert not AuditEntry.objects.exists()


def test_a_pause_that_is_over_begins_anew():
    now = database_now()
    Queue.objects.create(name="default", paused_at=now - timedelta(hours=2), paused_until=now - timedelta(hours=1))

    pause_queue(actor=ACTOR, name="default")

    assert Queue.objects.get().paused_at == now


@pytest.mark.parametrize(
    ("changes", "pointer", "code"),
    [
        ({"rate": {"limit": 0, "period": "PT1M"}}, "/rate/limit", "min_value"),
        ({"rate": {"limit": 5}}, "/rate/period", "required"),
        ({"rate": {"limit": 5, "period": "PT0.1S"}}, "/rate/period", "out_of_range"),
        ({"rate": {"limit": 5, "period": "PT1M", "burst": 0}}, "/rate/burst", "min_value"),
        ({"weight": 11}, "/weight", "max_value"),
        ({"weight": "3"}, "/weight", "wrong_type"),
        ({"fair": 1}, "/fair", "wrong_type"),
        ({"paused": True}, "/paused", "unknown_field"),
        ({"rates": HUNDRED}, "/rates", "unknown_field"),
    ],
)
def test_what_is_wrong_is_told_at_its_place_and_nothing_is_stored(changes, pointer, code):
    with pytest.raises(NotValid) as refused:
        update(**changes)

    assert [(each.pointer, each.code) for each in refused.value.problems] == [(pointer, code)]
    assert not Queue.objects.exists()


def test_a_word_that_can_be_no_queue_is_refused():
    with pytest.raises(NotValid):
        update("no queue", weight=2)


def test_a_pause_into_the_past_is_refused():
    with pytest.raises(NotValid) as refused:
        pause_queue(actor=ACTOR, name="default", until=database_now() - timedelta(seconds=1))

    assert refused.value.problems[0].pointer == "/until"
    assert not Queue.objects.exists()


def test_a_new_rate_begins_with_a_full_bucket_and_no_rate_has_none():
    update(rate={**HUNDRED, "burst": 20})

    assert RateBucket.objects.get().tokens == 20
    assert bucket_wait("queue:default") == 0.0

    update(rate=None)

    assert not RateBucket.objects.exists()
    assert bucket_wait("queue:default") is None


def test_a_changed_rate_gives_no_tokens_away():
    update(rate=HUNDRED)
    RateBucket.objects.update(tokens=3, refilled_at=database_now())

    update(rate={"limit": 1000, "period": "PT1M"})
    kept = RateBucket.objects.get().tokens
    update(rate={"limit": 2, "period": "PT1M"})

    assert 3 <= kept < 4
    assert RateBucket.objects.get().tokens == 2


def test_waiting_for_a_token_is_told_in_seconds():
    update(rate={"limit": 6, "period": "PT1M"})
    RateBucket.objects.update(tokens=0.5, refilled_at=database_now())

    wait = bucket_wait("queue:default")
    assert wait is not None
    assert 4.5 < wait <= 5


def test_fairness_holds_for_what_waits_and_for_what_comes():
    waiting = due_work()

    update(fair=True)
    dead = RunFactory(dead=True)
    retry_run(actor=ACTOR, run=dead)

    assert DueWork.objects.get(pk=waiting.pk).agent_id == waiting.task.agent_id
    assert DueWork.objects.get(pk=dead.pk).agent_id == dead.task.agent_id

    update(fair=False)

    assert not DueWork.objects.exclude(agent_id=None).exists()


def test_other_queues_keep_their_rows_as_they_are():
    other = due_work(queue="other")

    update(fair=True)

    assert DueWork.objects.get(pk=other.pk).agent_id is None


def test_queues_that_hold_something_or_are_operated_are_listed():
    due_work(queue="busy")
    update("idle", weight=2)

    assert [(state.depth.queue, state.depth.due, state.control.weight) for state in queue_states()] == [
        ("busy", 1, 1),
        ("idle", 0, 2),
    ]


@pytest.mark.parametrize(
    "columns",
    [{"rate_limit": 5}, {"rate_burst": 5}, {"weight": 11}, {"pause_reason": "why"}, {"rate_period": timedelta(1)}],
)
def test_the_database_refuses_a_queue_that_makes_no_sense(columns):
    with pytest.raises(IntegrityError), transaction.atomic():
        Queue.objects.create(name="default", **columns)


def call(*arguments):
    out = StringIO()
    call_command("queue", *arguments, stdout=out)
    return out.getvalue()


def test_the_command_pauses_shows_and_resumes():
    TaskFactory(queue="mail")

    said = call("pause", "mail", "--reason", "the printer burns", "--for", "PT30M")
    shown = json.loads(call("show", "mail"))
    call("resume", "mail")

    assert said.startswith("mail is paused until ")
    assert (shown["paused"], shown["pause_reason"]) == (True, "the printer burns")
    assert json.loads(call("show", "mail"))["paused"] is False
    assert actions() == ["queue.pause", "queue.resume"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["pause", "emial"], "Did you mean 'email'"),
        (["show", "no queue"], "no queue"),
        (["pause", "email", "--until", "tomorrow"], "an ISO 8601"),
        (["pause", "email", "--for", "a while"], "--for"),
        (["pause", "email", "--for", "P2999999D"], "beyond the last year"),
        (["pause", "email", "--until", "2020-01-01T00:00:00Z"], "must lie ahead"),
    ],
)
def test_the_command_says_what_is_wrong(arguments, words):
    TaskFactory(queue="email")

    with pytest.raises(CommandError, match=words):
        call(*arguments)

    assert not Queue.objects.exists()
