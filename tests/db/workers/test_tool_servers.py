"""Runs whose steps call tools of a real MCP server, and workers that see changes of servers while they work."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection

from pipelines.models import ToolServer
from pipelines.servers import operations
from pipelines.servers.offers import HostCatalog, current_catalog, host_catalog
from scheduling.audit.operations import Actor
from scheduling.models import DueWork, Run
from scheduling.runs.operations import start_run
from tests.db.servers.conftest import fresh_catalog as fresh_catalog
from tests.factories import TaskFactory
from tests.tool_servers import HttpServer, http_server
from tests.workers_support import bench, change, due_work, run, run_of
from workers.models import StepRun
from workers.offer_watch import OfferWatch

pytestmark = pytest.mark.django_db(transaction=True)

ACTOR = Actor.system("tests")
ADD = {"id": "sum", "uses": "mcp:test/add", "with": {"a": "${params.a}", "b": 2}}
GREET = {"id": "hello", "uses": "mcp:test/greet", "with": {"name": "${steps.sum.sum}"}}
BOTH = {"version": 1, "steps": [ADD, GREET], "outputs": {"n": "${steps.sum.sum}", "text": "${steps.hello[0].text}"}}


@pytest.fixture(scope="module")
def served() -> Iterator[HttpServer]:
    with http_server() as server:
        yield server


@pytest.fixture
def known(served: HttpServer, settings) -> ToolServer:
    """The server as it is registered, its tools read."""
    settings.ORDINAUT_HTTP_ALLOW = [served.target]
    server = operations.create_server(actor=ACTOR, definition={"name": "test", "url": served.url})
    return operations.refresh_tools(actor=ACTOR, server=server)


def calling(tool: str, given: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    step = {"id": "it", "uses": f"mcp:test/{tool}", "with": given or {}, **fields}
    return {"version": 1, "steps": [step], "outputs": {"it": "${steps.it}"}}


def go_on() -> None:
    async def work() -> None:
        async with bench(catalog=current_catalog_of_a_worker()) as process:
            await OfferWatch(process.database, host_catalog()).look()
            await process.run_all()

    run(work(), within=60)


def current_catalog_of_a_worker() -> HostCatalog:
    """As a worker process begins: nothing is known of servers."""
    host_catalog.cache_clear()
    return host_catalog()


def ended(document: dict[str, Any], *, simulate: bool = False, **params: Any) -> Run:
    made = start_run(actor=ACTOR, task=TaskFactory(document=document), params=params, simulate=simulate)
    go_on()
    made.refresh_from_db()
    return made


def test_a_run_calls_tools_of_a_server_step_by_step(known: ToolServer):
    made = ended(BOTH, a=40)

    assert made.output == {"n": 42, "text": "Hello 42"}
    assert [(step.path, step.uses, step.state) for step in StepRun.objects.filter(run=made).order_by("path")] == [
        ("hello", "mcp:test/greet", "succeeded"),
        ("sum", "mcp:test/add", "succeeded"),
    ]


def test_the_key_of_the_step_reaches_the_server(known: ToolServer):
    made = ended(calling("told"))

    assert made.output["it"]["meta"] == {"ordinaut/idempotency-key": f"{made.pk}:it"}


@pytest.mark.parametrize(
    ("tool", "given", "code", "error_class"),
    [
        ("lies", {}, "output_schema", "validation"),
        ("mute", {}, "output_schema", "validation"),
        ("fail", {}, "tool_failed", "permanent"),
        ("large", {"mebibytes": 20}, "too_large", "limit"),
        ("add", {"a": "${params.text}", "b": 1}, "bad_argument", "validation"),
    ],
)
def test_what_goes_wrong_fails_the_step(known: ToolServer, tool: str, given, code: str, error_class: str):
    made = ended(calling(tool, given), text="no number")

    assert made.state == "failed"
    assert (made.error["code"], made.error["class"]) == (code, error_class)


def test_a_slow_tool_is_stopped_at_the_time_out_of_its_step(known: ToolServer):
    made = ended(calling("slow", timeout="PT1S", retry={"max_attempts": 1}))

    assert (made.error["code"], made.error["class"]) == ("timeout", "timeout")


def test_a_simulated_run_never_reaches_the_server(known: ToolServer, settings):
    settings.ORDINAUT_HTTP_ALLOW = []  # a call would be refused
    fixture = calling("fail", simulate={"output": "from the fixture"})

    assert ended(calling("add", {"a": 1, "b": 2}), simulate=True).output == {"it": {"sum": 0}}
    assert ended(calling("greet"), simulate=True).output == {"it": [{"type": "text", "text": "simulated"}]}
    assert ended(fixture, simulate=True).output == {"it": "from the fixture"}
    assert ended(calling("add", {"a": 1, "b": 2}, retry={"max_attempts": 1})).error["code"] == "address_refused"


def test_a_worker_sees_what_is_disabled_and_enabled_while_it_works(known: ToolServer):
    operations.update_server(actor=ACTOR, server=known, changes={"enabled": False})
    work = due_work(BOTH, params={"a": 1})

    def enable() -> None:
        operations.update_server(actor=ACTOR, server=known, changes={"enabled": True})

    async def go() -> tuple[DueWork | None, list[bool]]:
        async with bench(catalog=current_catalog_of_a_worker()) as process:
            watch = OfferWatch(process.database, host_catalog())
            looks = [await watch.look()]
            await process.run_all()
            held = await asyncio.to_thread(closing, handed_back, work)
            await asyncio.to_thread(closing, enable)
            looks += [await watch.look(), await watch.look()]
            await change(work, available_at=datetime.now(UTC))
            await process.run_all()
        return held, looks

    held, looks = run(go(), within=60)

    assert held is not None, "it was handed back, and waits"
    assert "the tool server test is disabled" in held.run.error["detail"]
    assert looks == [True, True, False]
    assert run_of(work).output == {"n": 3, "text": "Hello 3"}, run_of(work).error


def handed_back(work: DueWork) -> DueWork | None:
    return DueWork.objects.select_related("run").filter(pk=work.pk).first()


def closing(work: Any, *given: Any) -> Any:
    """The work in a thread of its own, whose connection is closed behind it."""
    try:
        return work(*given)
    finally:
        connection.close()


def test_a_server_that_was_told_of_another_tool_is_asked_for_it_in_vain(known: ToolServer):
    known.tools.filter(name="greet").update(name="gone")
    ToolServer.objects.update(version=9)

    made = ended(calling("gone", retry={"max_attempts": 1}))

    assert (made.error["code"], made.error["class"]) == ("unknown_tool", "permanent")
    assert "refresh" in made.error["detail"]
    assert current_catalog().get("mcp:test/gone") is not None
