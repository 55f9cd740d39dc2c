"""A secret on its way: set by the API, sent by a worker, and nowhere else to be found."""

import base64
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from pytest_django import Settings

from pipelines.models import Secret
from pipelines.secrets import operations
from pipelines.secrets.vault import new_key
from scheduling.audit.operations import Actor
from scheduling.models import AuditEntry, Run
from scheduling.runs.operations import start_run
from tests.factories import AgentFactory, TaskFactory
from tests.integration.tools.web import Web, reply, serving
from tests.workers_support import bench, run
from workers.models import StepRun

pytestmark = pytest.mark.django_db(transaction=True)

ACTOR = Actor.system("tests")
PLANTED = "planted-4f1d9c3b7a-value"


@pytest.fixture(autouse=True)
def key(settings: Settings) -> str:
    made = new_key()
    settings.ORDINAUT_ENCRYPTION_KEYS = [made]
    return made


@pytest.fixture
def web(settings: Settings) -> Iterator[Web]:
    with serving(settings) as made:
        yield made


def asking(url: str, **fields: Any) -> dict[str, Any]:
    given = {"url": url, "headers": {"authorization": "Bearer ${secrets.token}"}}
    ask = {"id": "ask", "uses": "http.request", "with": {**given, **fields}, "retry": {"max_attempts": 1}}
    return {"version": 1, "steps": [ask], "outputs": {"answer": "${steps.ask}"}}


def start(document: dict[str, Any], *, value: str | None = PLANTED, **limits: Any) -> Run:
    task = TaskFactory(document=document)
    if value is not None:
        operations.set_secret(actor=ACTOR, agent=task.agent, name="token", given={"value": value, **limits})
    return start_run(actor=ACTOR, task=task)


def go_on() -> None:
    async def work() -> None:
        async with bench() as process:
            await process.run_all()

    run(work())


def all_rows() -> str:
    """Every row of every table, as text; bytes, in which most JSON is kept, as the characters that they are."""
    with connection.cursor() as cursor:
        cursor.execute("SET bytea_output = 'escape'")
        cursor.execute("SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public'")
        tables = [name for (name,) in cursor.fetchall()]
        found = []
        for table in tables:
            cursor.execute(f"SELECT each::text FROM {table} AS each")
            found += [text for (text,) in cursor.fetchall()]
        cursor.execute("RESET bytea_output")
    return "\n".join(found)


def echo(handler: Any) -> None:
    told = handler.headers["authorization"]
    encoded = base64.b64encode(told.encode()).decode()
    reply(200, f'{{"sent": "{told}", "{told}": "{encoded}"}}'.encode(), content_type="application/json", x_echo=told)(
        handler
    )


def test_it_is_sent_and_left_nowhere_even_by_a_server_that_says_it_again(web: Web, capfd: pytest.CaptureFixture[str]):
    web.answers["/in"] = echo
    made = start(asking(web.url("/in")))

    go_on()

    made.refresh_from_db()
    assert made.state == "succeeded"
    assert web.received[0].headers["authorization"] == f"Bearer {PLANTED}"
    assert made.output["answer"]["body"]["sent"] == "Bearer [secret token]"
    assert StepRun.objects.get(path="ask").input["headers"] == {"authorization": "Bearer [secret token]"}
    left = all_rows() + "".join(capfd.readouterr())
    assert PLANTED not in left
    # What the server made of header and value together: the value's part of it, at whatever place it began.
    encoded = base64.b64encode(f"Bearer {PLANTED}".encode()).decode()
    assert encoded[12:40] not in left
    assert encoded[:8] in left


def test_a_failure_that_cites_the_address_does_not_cite_the_secret_in_it(web: Web, capfd: pytest.CaptureFixture[str]):
    web.answers["/in"] = reply(403, b"no")
    made = start(asking(web.url("/in") + "?key=${secrets.token}"))

    go_on()

    made.refresh_from_db()
    assert (made.state, made.error["code"]) == ("failed", "http_403")
    assert PLANTED in web.received[0].path
    assert PLANTED not in all_rows() + "".join(capfd.readouterr())


def test_a_changed_value_counts_from_the_next_call_on_and_a_deleted_one_fails_it(web: Web):
    web.answers["/in"] = reply(200, b"ok")
    first = start(asking(web.url("/in")))
    go_on()
    operations.set_secret(actor=ACTOR, agent=first.agent, name="token", given={"value": "another value"})
    start_run(actor=ACTOR, task=first.task)
    go_on()
    operations.delete_secret(actor=ACTOR, secret=Secret.objects.get())
    last = start_run(actor=ACTOR, task=first.task)
    go_on()

    last.refresh_from_db()
    sent = [received.headers["authorization"] for received in web.received]
    assert sent == [f"Bearer {PLANTED}", "Bearer another value"]
    assert (last.state, last.error["code"]) == ("failed", "unknown_secret")


def test_another_agent_s_secret_of_the_same_name_is_not_used(web: Web):
    operations.set_secret(actor=ACTOR, agent=AgentFactory(), name="token", given={"value": PLANTED})
    made = start(asking(web.url("/in")), value=None)

    go_on()

    made.refresh_from_db()
    assert made.error["code"] == "unknown_secret"
    assert web.received == []


def test_a_secret_for_another_tool_is_not_given(web: Web):
    made = start(asking(web.url("/in")), tools=["weather.forecast"])

    go_on()

    made.refresh_from_db()
    assert made.error["code"] == "secret_not_for_tool"
    assert web.received == []


def test_a_secret_goes_to_its_hosts_alone_also_where_a_redirect_leads_elsewhere(web: Web):
    web.answers["/in"] = reply(307, location=f"http://localhost:{web.port}/elsewhere")
    elsewhere = start(asking(web.url("/in")), hosts=["api.example.com"])
    redirected = start(asking(web.url("/in"), method="POST", text="${secrets.token}"), hosts=["127.0.0.1"])

    go_on()

    for made in (elsewhere, redirected):
        made.refresh_from_db()
        assert made.error["code"] == "secret_not_for_host"
    assert [received.path for received in web.received] == ["/in"]


def test_a_host_without_the_key_tries_again_and_says_why(web: Web, settings: Settings):
    made = start({**asking(web.url("/in"))})
    settings.ORDINAUT_ENCRYPTION_KEYS = [new_key()]

    go_on()

    made.refresh_from_db()
    assert (made.error["code"], made.error["retryable"]) == ("secret_key_missing", True)
    assert "ORDINAUT_ENCRYPTION_KEYS" in made.error["detail"]


def test_a_row_that_was_copied_from_another_agent_is_not_opened(web: Web):
    other = start(asking(web.url("/in")))
    copied = Secret.objects.get(agent=other.agent)
    made = start(asking(web.url("/in")), value="its own value")
    Secret.objects.filter(agent=made.agent).update(ciphertext=bytes(copied.ciphertext), key_id=copied.key_id)
    web.answers["/in"] = reply(200, b"ok")

    go_on()

    made.refresh_from_db()
    assert made.error["code"] == "secret_damaged"
    assert len(web.received) == 1


def test_a_simulated_run_needs_no_secret(web: Web):
    task = TaskFactory(document=asking(web.url("/in")))
    made = start_run(actor=ACTOR, task=task, simulate=True)

    go_on()

    made.refresh_from_db()
    assert made.state == "succeeded"
    assert web.received == []


def test_new_keys_take_over_by_one_command(web: Web, settings: Settings, key: str):
    from django.core.management import call_command

    web.answers["/in"] = reply(200, b"ok")
    made = start(asking(web.url("/in")))
    fresh = new_key()
    settings.ORDINAUT_ENCRYPTION_KEYS = [fresh, key]

    call_command("reencryptsecrets")
    settings.ORDINAUT_ENCRYPTION_KEYS = [fresh]
    go_on()

    made.refresh_from_db()
    assert made.state == "succeeded"
    assert web.received[0].headers["authorization"] == f"Bearer {PLANTED}"
    assert AuditEntry.objects.filter(action="secret.reencrypt").count() == 1


def test_a_key_that_is_gone_leaves_what_it_wrote_and_says_whose(settings: Settings, capsys: pytest.CaptureFixture[str]):
    from django.core.management import CommandError, call_command

    made = start(asking("https://example.com"))
    before = Secret.objects.get().ciphertext
    settings.ORDINAUT_ENCRYPTION_KEYS = [new_key()]

    with pytest.raises(CommandError, match=f"token of agent {made.agent_id}"):
        call_command("reencryptsecrets")

    assert bytes(Secret.objects.get().ciphertext) == bytes(before)
