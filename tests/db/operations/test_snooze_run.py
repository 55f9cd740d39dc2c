"""Putting off a queued run."""

from datetime import UTC, datetime, timedelta

import pytest

from scheduling.audit.models import AuditEntry
from scheduling.audit.operations import Actor
from scheduling.models import ConcurrencyKey, DueWork
from tests.db.api.gateway import assert_problem, gateway_of
from tests.factories import DueWorkFactory, RunFactory, WorkerFactory
from workers.explain import explain, explainable

pytestmark = pytest.mark.django_db

ACTOR = Actor.system("tests")


@pytest.fixture
def gateway():
    return gateway_of("runs:read", "runs:write", "all:read", "all:write")


def test_a_snooze_moves_the_start_and_is_audited_and_explained(gateway):
    WorkerFactory()
    work = DueWorkFactory()

    answer = gateway.post(f"runs/{work.pk}/snooze", {"for": "PT1H", "reason": "the vendor is down"})

    assert answer.status_code == 200
    assert answer.json()["allowed_actions"] == ["cancel", "snooze"]
    moved = DueWork.objects.get(pk=work.pk)
    assert timedelta(minutes=55) < moved.available_at - datetime.now(UTC) <= timedelta(hours=1)
    assert AuditEntry.objects.get(action="run.snooze").after["reason"] == "the vendor is down"
    [reason] = explain(explainable(work.pk)).reasons
    assert (reason.code, reason.facts["reason"]) == ("snoozed", "the vendor is down")


def test_a_snooze_until_an_instant_keeps_the_gate(gateway):
    work = DueWorkFactory(gate="paused")

    assert gateway.post(f"runs/{work.pk}/snooze", {"until": "2100-01-01T00:00:00Z"}).status_code == 422
    until = (datetime.now(UTC) + timedelta(days=2)).isoformat()
    assert gateway.post(f"runs/{work.pk}/snooze", {"until": until}).status_code == 200

    moved = DueWork.objects.get(pk=work.pk)
    assert (moved.gate, moved.available_at.isoformat()) == ("paused", until)


def test_a_snoozed_run_gives_the_room_under_its_key_away(gateway):
    ConcurrencyKey.objects.create(key="a:mail", limit=1)
    first = DueWorkFactory(concurrency_key="a:mail")
    second = DueWorkFactory(concurrency_key="a:mail", gate="key")

    gateway.post(f"runs/{first.pk}/snooze", {"for": "PT1H"})

    assert DueWork.objects.get(pk=first.pk).gate == "key"
    assert DueWork.objects.get(pk=second.pk).gate is None


@pytest.mark.parametrize(
    ("make", "allowed"),
    [
        (
            lambda: DueWorkFactory(lease_owner=WorkerFactory().pk, lease_epoch=1, claimed_at=datetime.now(UTC)).run,
            ["cancel"],
        ),
        (lambda: DueWorkFactory(run=RunFactory(state="waiting")).run, ["cancel"]),
        (lambda: RunFactory(dead=True), ["retry"]),
        (lambda: RunFactory(succeeded=True), []),
    ],
)
def test_what_is_not_queued_is_refused_with_what_is_legal(gateway, make, allowed):
    run = make()

    problem = assert_problem(gateway.post(f"runs/{run.pk}/snooze", {"for": "PT1H"}), 409, "illegal_transition")

    assert problem["allowed_actions"] == allowed


@pytest.mark.parametrize(
    "body", [{}, {"for": "PT1H", "until": "2030-01-01T00:00:00Z"}, {"until": "2020-01-01T00:00:00Z"}]
)
def test_a_time_that_says_nothing_is_refused(gateway, body):
    work = DueWorkFactory()

    assert_problem(gateway.post(f"runs/{work.pk}/snooze", body), 422, "not_valid")
    assert DueWork.objects.get(pk=work.pk).available_at == work.available_at
