"""Secrets through the API: values go in, and never come out."""

from hashlib import sha256
from typing import Any

import orjson
import pytest
from pytest_django import Settings

from pipelines.models import Secret
from pipelines.secrets.vault import new_key
from scheduling.agents.models import Agent
from scheduling.audit.models import IdempotencyRecord
from scheduling.models import AuditEntry
from tests.db.api.gateway import assert_problem, gateway_of, pointers
from tests.factories import AgentFactory

pytestmark = pytest.mark.django_db

VALUE = "planted-value-0123456789"
SET = {"value": VALUE, "hosts": ["api.example.com"]}
ASK = {
    "version": 1,
    "steps": [
        {
            "id": "ask",
            "uses": "http.request",
            "with": {"url": "https://api.example.com/", "headers": {"authorization": "Bearer ${secrets.token}"}},
        }
    ],
}
SCOPES = ["tasks:read", "tasks:write", "secrets:write"]


@pytest.fixture(autouse=True)
def _key(settings: Settings) -> None:
    settings.ORDINAUT_ENCRYPTION_KEYS = [new_key()]


@pytest.fixture
def owner(db: Any) -> Agent:
    return AgentFactory(scopes=SCOPES)


def test_a_secret_is_set_listed_changed_and_removed_and_never_shown(owner: Agent):
    api = gateway_of(agent=owner)

    made = api.put("secrets/token", SET)
    again = api.put("secrets/token", {"hosts": []})
    replaced = api.put("secrets/token", {"value": VALUE + "!"})
    listed = api.get("secrets")
    shown = api.get("secrets/token")
    removed = api.delete("secrets/token")

    assert (made.status_code, again.status_code, replaced.status_code, removed.status_code) == (201, 200, 200, 204)
    assert made.json()["tools"] == ["http.request"]
    assert again.json()["hosts"] == []
    assert [each["name"] for each in listed.json()["items"]] == ["token"]
    for answer in (made, again, replaced, listed, shown):
        assert VALUE not in answer.content.decode()
    assert not Secret.objects.exists()
    entries = list(AuditEntry.objects.filter(action__startswith="secret.").order_by("id"))
    assert [entry.action for entry in entries] == ["secret.create", "secret.update", "secret.update", "secret.delete"]
    assert entries[2].after["value"] == "replaced"
    assert VALUE not in repr([(entry.before, entry.after) for entry in entries])


def test_setting_a_secret_needs_its_scope():
    api = gateway_of("tasks:read", "tasks:write")

    assert_problem(api.put("secrets/token", SET), 403, "scope_missing")
    assert api.get("secrets").status_code == 200


def test_agents_see_their_own_alone_even_under_the_same_name(owner: Agent):
    mine, other = gateway_of(agent=owner), gateway_of(agent=AgentFactory(scopes=SCOPES))
    mine.put("secrets/token", SET)

    assert other.get("secrets").json()["items"] == []
    assert_problem(other.get("secrets/token"), 404, "not_found")
    assert_problem(other.delete("secrets/token"), 404, "not_found")
    assert other.put("secrets/token", {"value": "another-value"}).status_code == 201
    assert Secret.objects.count() == 2


@pytest.mark.parametrize(
    ("name", "given", "pointer"),
    [
        ("token", {}, "/value"),
        ("token", {"value": "short"}, "/value"),
        ("token", {"value": "  short  "}, "/value"),
        ("token", {"value": 12345678}, "/value"),
        ("token", {"value": VALUE, "tools": []}, "/tools"),
        ("token", {"value": VALUE, "tools": ["log.write"]}, "/tools/0"),
        ("token", {"value": VALUE, "tools": ["http.reqest"]}, "/tools/0"),
        ("token", {"value": VALUE, "hosts": ["https://api.example.com"]}, "/hosts/0"),
        ("token", {"value": VALUE, "hosts": ["a.example"], "tools": ["weather.forecast", "http.request"]}, "/hosts"),
        ("token", {"value": VALUE, "valeu": 1}, "/valeu"),
        ("to-ken", {"value": VALUE}, "/name"),
        ("1token", {"value": VALUE}, "/name"),
    ],
)
def test_what_is_wrong_is_told_with_its_place_and_nothing_is_stored(owner: Agent, name: str, given: Any, pointer: str):
    answer = gateway_of(agent=owner).put(f"secrets/{name}", given)

    assert pointer in pointers(assert_problem(answer, 422, "not_valid"))
    assert VALUE not in answer.content.decode()
    assert not Secret.objects.exists()


def test_without_a_key_nothing_is_stored_and_the_answer_says_what_to_do(owner: Agent, settings: Settings):
    settings.ORDINAUT_ENCRYPTION_KEYS = []

    answer = gateway_of(agent=owner).put("secrets/token", SET)

    assert "newkey" in assert_problem(answer, 409, "no_encryption_key")["hint"]
    assert not Secret.objects.exists()


def test_a_pipeline_that_names_a_secret_is_saved_where_its_agent_has_it_and_validated_alike(owner: Agent):
    api = gateway_of(agent=owner)
    task = {"key": "ask", "pipeline": ASK}

    refused = api.post("tasks", task)
    judged = api.post("pipelines/validate", {"document": ASK}).json()
    api.put("secrets/token", SET)
    saved = api.post("tasks", task)

    (problem,) = assert_problem(refused, 422, "not_valid")["errors"]
    assert (problem["code"], problem["pointer"]) == (
        "unknown_secret",
        "/pipeline/steps/0/with/headers/authorization",
    )
    assert [each["code"] for each in judged["problems"]] == ["unknown_secret"]
    assert saved.status_code == 201, saved.content
    assert api.post("pipelines/validate", {"document": ASK}).json()["valid"] is True


def test_the_same_idempotency_key_repeats_the_answer_and_keeps_no_guessable_trace(owner: Agent):
    api = gateway_of(agent=owner)
    first = api.put("secrets/token", SET, headers={"Idempotency-Key": "k1"})
    second = api.put("secrets/token", SET, headers={"Idempotency-Key": "k1"})

    record = IdempotencyRecord.objects.get()
    assert (first.status_code, second.status_code) == (201, 201)
    assert VALUE not in repr((record.body, record.headers))
    body = sha256(orjson.dumps(SET)).hexdigest()
    guessed = {sha256(f"PUT\n/api/v1/secrets/token\n{each}".encode()).hexdigest() for each in (body, "")}
    assert record.fingerprint not in guessed | {body}
