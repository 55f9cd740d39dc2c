"""The tools of servers in the catalog: what documents may name, and how soon a change is seen."""

from typing import Any

import pytest
from django.db import transaction

from pipelines.models import ToolServer
from pipelines.port import PipelinePort
from pipelines.servers import offers, operations
from pipelines.servers.offers import current_catalog
from pipelines.tools.base import SideEffect
from tests.db.servers.support import ACTOR, listed, registered, relisted

pytestmark = pytest.mark.django_db

PATH = {"type": "object", "required": ["path"], "properties": {"path": {"type": "string"}}}


def problems(uses: str, given: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    return PipelinePort().validate({"version": 1, "steps": [{"uses": uses, "with": given or {}}]})


def test_a_document_is_judged_by_what_the_server_listed():
    registered(listed("read", inputSchema=PATH))

    assert problems("mcp:files/read", {"path": "a"}) == []
    assert [each["pointer"] for each in problems("mcp:files/read", {"path": 1})] == ["/steps/0/with/path"]
    assert [each["code"] for each in problems("mcp:files/read")] == ["missing_field"]


@pytest.mark.parametrize(
    ("uses", "hint"),
    [
        ("mcp:files/raed", "did you mean 'mcp:files/read'"),
        ("mcp:flies/read", "did you mean 'mcp:files/read'"),
        ("mcp:files/bad", "the tool server files has it, but its input schema is none"),
        ("mcp:off/read", "the tool server off is disabled"),
    ],
)
def test_a_tool_that_is_not_offered_is_refused_with_the_reason(uses: str, hint: str):
    registered(listed("read"), listed("bad", inputSchema={"type": "no such"}))
    registered(listed("read"), name="off", enabled=False)

    (problem,) = problems(uses)

    assert (problem["pointer"], problem["code"]) == ("/steps/0/uses", "unknown_tool")
    assert hint in problem["hint"]


def test_a_spec_has_what_the_server_said():
    registered(listed("read", inputSchema=PATH, outputSchema=PATH, annotations={"readOnlyHint": True}), listed("tell"))

    read, tell = (current_catalog().get(f"mcp:files/{name}") for name in ("read", "tell"))

    assert (read.description, read.input_schema, read.output_schema) == ("Does read.", PATH, PATH)
    assert (read.side_effect, tell.side_effect) == (SideEffect.IDEMPOTENT, SideEffect.EFFECT)
    assert (read.simulate, tell.output_schema) == (None, {})
    assert "mcp:files/read" in current_catalog().names()
    assert "log.write" in current_catalog().names()


def test_documents_cost_no_query_while_what_is_known_is_fresh(django_assert_num_queries):
    registered(listed("read"))
    problems("mcp:files/read")

    with django_assert_num_queries(0):
        for _ in range(20):
            assert problems("mcp:files/read") == []


def test_what_another_process_changes_is_seen_at_the_next_look_by_one_query(monkeypatch, django_assert_num_queries):
    server = registered(listed("read"))
    problems("mcp:files/read")
    monkeypatch.setattr(offers, "LOOKS_EVERY", 0.0)
    with django_assert_num_queries(1):
        assert problems("mcp:files/read") == []

    # As another process: nobody tells this one.
    ToolServer.objects.filter(pk=server.pk).update(is_enabled=False, version=server.version + 5)
    assert [each["code"] for each in problems("mcp:files/read")] == ["unknown_tool"]
    ToolServer.objects.all().delete()
    assert current_catalog().why_missing("mcp:files/read") is None


def test_what_was_seen_in_a_transaction_that_was_undone_is_not_believed():
    server = registered(listed("read"))
    generation = current_catalog().generation
    with transaction.atomic():
        operations.update_server(actor=ACTOR, server=server, changes={"enabled": False})
        offers.forget()
        assert current_catalog().get("mcp:files/read") is None
        transaction.set_rollback(True)
    relisted(server, listed("other"))  # of the same version as what was undone

    assert current_catalog().get("mcp:files/other") is not None
    assert current_catalog().generation == generation + 2


def test_an_installed_tool_wins_its_name_and_simulated_ones_do(settings):
    from pipelines.tools import registry

    settings.ORDINAUT_SIMULATED_TOOLS = '{"mcp:files/read": "declared"}'
    registry.reset()
    try:
        registered(listed("read"))
        assert not current_catalog().get("mcp:files/read").is_installed
    finally:
        del settings.ORDINAUT_SIMULATED_TOOLS
        registry.reset()
