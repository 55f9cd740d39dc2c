"""Health, metrics and documentation of the web process."""

import pytest
from django.conf import settings as django_settings
from django.db import OperationalError, connection

from ordinaut_project import health
from scheduling.models import Outbox
from tests.db.api.gateway import Gateway, assert_problem
from tests.factories import DueWorkFactory


@pytest.fixture
def web():
    return Gateway(None)


@pytest.fixture
def no_database(monkeypatch):
    """A database that nobody listens for."""
    parameters = connection.get_connection_params()
    monkeypatch.setattr(connection, "get_connection_params", lambda: {**parameters, "host": "/nowhere"})


def test_alive_is_alive(web):
    answer = web.get("/livez")

    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


@pytest.mark.django_db
def test_ready_with_everything_there(web):
    assert web.get("/readyz").json() == {"status": "ok", "database": "ok", "redis": "ok"}


@pytest.mark.django_db
def test_without_redis_ready_and_degraded(web, settings):
    settings.ORDINAUT_REDIS_URL = "unix:///nowhere/valkey.sock?db=0"

    answer = web.get("/readyz")

    assert answer.status_code == 200
    assert answer.json() == {"status": "degraded", "database": "ok", "redis": "degraded"}


@pytest.mark.django_db
def test_without_the_database_not_ready_and_one_log_line_a_change(web, no_database, caplog, monkeypatch):
    monkeypatch.setattr(health, "_last_database", "ok")

    answers = [web.get("/readyz") for _ in range(3)]

    assert [answer.status_code for answer in answers] == [503, 503, 503]
    assert answers[0].json()["database"] == "down"
    lines = [record for record in caplog.records if "database.unavailable" in record.getMessage()]
    assert len(lines) == 1


@pytest.mark.django_db
def test_ready_again_when_the_database_is_back(web, caplog, monkeypatch):
    monkeypatch.setattr(health, "_last_database", "down")
    caplog.set_level("INFO")

    assert web.get("/readyz").status_code == 200
    assert "database.up" in caplog.text


@pytest.mark.django_db
def test_without_its_migrations_not_ready(web, monkeypatch):
    present = health._migrations()
    monkeypatch.setattr(health, "_migrations", lambda: present | {("scheduling", "9999_of_tomorrow")})

    answer = web.get("/readyz")

    assert (answer.status_code, answer.json()["database"]) == (503, "migrations missing")


@pytest.mark.django_db
def test_a_request_without_the_database_is_told_when_to_come_again(api, monkeypatch):
    def refuse(*_, **__):
        raise OperationalError("connection refused: host=secret.internal")

    monkeypatch.setattr("scheduling.tasks.api.visible_tasks", refuse)

    answer = api.get("tasks")

    problem = assert_problem(answer, 503, "database_unavailable")
    assert answer["Retry-After"] == "5"
    assert "secret" not in str(problem)


@pytest.mark.django_db
def test_an_outage_before_the_view_is_a_problem_too(api, monkeypatch):
    def refuse(*_, **__):
        raise OperationalError("connection refused")

    monkeypatch.setattr("scheduling.api.authentication.authenticate", refuse)

    assert_problem(api.get("tasks"), 503, "database_unavailable")


@pytest.mark.django_db
def test_metrics_are_for_the_bearer_of_their_token_only(web, settings):
    settings.ORDINAUT_METRICS_TOKEN = ""
    closed = web.get("/metrics", headers={"Authorization": "Bearer "})
    settings.ORDINAUT_METRICS_TOKEN = "scrape"
    wrong = web.get("/metrics", headers={"Authorization": "Bearer other"})
    DueWorkFactory()

    right = web.get("/metrics", headers={"Authorization": "Bearer scrape"})

    assert (closed.status_code, wrong.status_code, right.status_code) == (404, 404, 200)
    text = right.content.decode()
    assert 'ordinaut_queue_depth{queue="default",state="due"} 1.0' in text
    assert 'ordinaut_queue_oldest_due_seconds{queue="default"}' in text
    assert f"ordinaut_outbox_waiting {float(Outbox.objects.count())}" in text
    assert "ordinaut_redis_up 1.0" in text


def test_the_schema_and_its_pages_need_no_token_and_no_other_host(web):
    schema = web.get("/api/v1/schema")
    page = web.get("/api/v1/docs")
    script = web.get("/api/v1/docs?script=")
    guide = web.get("/llms.txt")

    assert schema.json()["info"]["title"] == "Ordinaut"
    html = page.content.decode()
    assert "<style" not in html
    assert "//" not in html.replace("</", "").replace("<!", "")
    assert script["Content-Type"].startswith("application/javascript")
    assert b"/api/v1/schema" in script.content
    assert guide["Content-Type"].startswith("text/plain")
    assert b"POST /tasks" in guide.content
    assert b"all:read" in guide.content


def test_answers_carry_their_id(web):
    answer = web.get("/livez", headers={"X-Request-ID": "mine-1"})

    assert answer["X-Request-ID"] == "mine-1"
    assert django_settings.APPEND_SLASH is False
