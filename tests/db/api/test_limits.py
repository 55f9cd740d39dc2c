"""Rate limits: exact, shared through Redis, and open when Redis is away."""

import threading

import pytest
import redis

from scheduling.api import limits
from tests.db.api.gateway import assert_problem, gateway_of
from tests.factories import AgentFactory

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def no_rest(monkeypatch):
    monkeypatch.setattr(limits, "_rest_until", 0.0)


def test_the_last_request_of_the_minute_is_the_last(db):
    api = gateway_of(agent=AgentFactory(scopes=["tools:read"], requests_per_minute=3))

    answers = [api.get("agents/me") for _ in range(4)]

    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert [answer["RateLimit-Remaining"] for answer in answers] == ["2", "1", "0", "0"]
    assert answers[0]["RateLimit-Policy"] == "3;w=60"
    refused = assert_problem(answers[3], 429, "throttled")
    assert 1 <= int(answers[3]["Retry-After"]) <= 20
    assert refused["detail"]


def test_agents_have_buckets_of_their_own(db):
    first = gateway_of(agent=AgentFactory(scopes=["tools:read"], requests_per_minute=1))
    second = gateway_of(agent=AgentFactory(scopes=["tools:read"], requests_per_minute=1))

    assert first.get("agents/me").status_code == 200
    assert second.get("agents/me").status_code == 200
    assert first.get("agents/me").status_code == 429


def test_a_bucket_is_exact_for_many_at_once():
    allowed = []

    def take() -> None:
        for _ in range(10):
            decision = limits.take("many", limit=25)
            allowed.append(decision is not None and decision.allowed)

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)

    # Refilling goes on meanwhile: one place each 2.4 s.
    assert 25 <= sum(allowed) <= 26


def test_without_redis_requests_pass_and_it_is_left_alone_for_a_while(api, settings, monkeypatch, caplog):
    settings.ORDINAUT_REDIS_URL = "unix:///nowhere/valkey.sock?db=0"
    asked = []
    connect = redis.connection.UnixDomainSocketConnection._connect

    def count(connection):
        asked.append(connection)
        return connect(connection)

    monkeypatch.setattr(redis.connection.UnixDomainSocketConnection, "_connect", count)

    answers = [api.get("agents/me") for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert all("RateLimit-Limit" not in answer for answer in answers)
    assert len(asked) <= 4  # one request's tries
