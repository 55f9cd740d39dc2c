"""`Idempotency-Key`: one effect, one answer, also for two at once."""

import threading

import pytest
from django.db import connection

from scheduling.models import IdempotencyRecord, Run, Task
from tests.db.api.gateway import NOTE, assert_problem, gateway_of
from tests.factories import TaskFactory

KEY = {"Idempotency-Key": "3f6c2a52-0000-4000-8000-5a1f6f9f4f6e"}


@pytest.mark.django_db
def test_the_same_request_again_has_one_effect_and_the_same_answer(api):
    first = api.post("tasks", {"key": "note", "pipeline": NOTE}, headers=KEY)
    second = api.post("tasks", {"key": "note", "pipeline": NOTE}, headers=KEY)

    assert (first.status_code, second.status_code) == (201, 201)
    assert second.json() == first.json()
    assert "Idempotency-Replayed" not in first
    assert second["Idempotency-Replayed"] == "true"
    assert (second["ETag"], second["Location"]) == (first["ETag"], first["Location"])
    assert Task.objects.count() == 1


@pytest.mark.django_db
def test_an_empty_answer_is_replayed_too(api):
    task = TaskFactory(agent=api.agent)

    first = api.delete(f"tasks/{task.pk}", headers=KEY)
    second = api.delete(f"tasks/{task.pk}", headers=KEY)

    assert (first.status_code, second.status_code, second.content) == (204, 204, b"")
    assert second["Idempotency-Replayed"] == "true"


@pytest.mark.django_db
def test_the_key_with_another_request_is_refused(api):
    api.post("tasks", {"key": "note", "pipeline": NOTE}, headers=KEY)

    other_body = api.post("tasks", {"key": "other", "pipeline": NOTE}, headers=KEY)
    other_address = api.post("events", {"topic": "a"}, headers=KEY)

    assert_problem(other_body, 422, "idempotency_key_reused")
    assert_problem(other_address, 422, "idempotency_key_reused")
    assert Task.objects.count() == 1


@pytest.mark.django_db
def test_a_refused_request_may_be_sent_again_with_its_key(api):
    refused = api.post("tasks", {"key": "note"}, headers=KEY)
    accepted = api.post("tasks", {"key": "note", "pipeline": NOTE}, headers=KEY)

    assert_problem(refused, 422, "not_valid")
    assert accepted.status_code == 201


@pytest.mark.django_db
def test_keys_of_different_agents_do_not_meet(api):
    other = gateway_of()

    first = api.post("tasks", {"key": "note", "pipeline": NOTE}, headers=KEY)
    second = other.post("tasks", {"key": "note", "pipeline": NOTE}, headers=KEY)

    assert first.json()["id"] != second.json()["id"]


@pytest.mark.django_db
def test_a_key_is_forgotten_after_its_time(api):
    task = TaskFactory(agent=api.agent)
    first = api.post(f"tasks/{task.pk}/run", headers=KEY).json()
    IdempotencyRecord.objects.update(expires_at="2020-01-01T00:00:00Z")

    second = api.post(f"tasks/{task.pk}/run", headers=KEY).json()

    assert first["id"] != second["id"]


@pytest.mark.django_db
@pytest.mark.parametrize("key", ["", "x" * 201, "schlüssel"])
def test_a_malformed_key_is_refused(api, key):
    answer = api.post("events", {"topic": "a"}, headers={"Idempotency-Key": key})

    assert_problem(answer, 422, "not_valid")


@pytest.mark.django_db
def test_a_token_is_never_kept_in_an_answer(api):
    assert_problem(api.post("tokens/rotate", headers=KEY), 422, "not_valid")
    assert not IdempotencyRecord.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_of_two_at_once_one_acts_and_both_get_its_answer(api):
    task = TaskFactory(agent=api.agent)
    together = threading.Barrier(2, timeout=10)
    answers = []

    def send() -> None:
        together.wait()
        answers.append(api.post(f"tasks/{task.pk}/run", {"params": {"a": 1}}, headers=KEY))
        connection.close()

    threads = [threading.Thread(target=send) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)

    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[0].json() == answers[1].json()
    assert sorted("Idempotency-Replayed" in answer for answer in answers) == [False, True]
    assert Run.objects.count() == 1
