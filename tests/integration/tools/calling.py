"""Calls of tools of MCP servers, as a worker makes them."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pipelines.engine.ports import ToolCall
from pipelines.errors import PipelineError
from pipelines.servers.addresses import ServerAddress, tool_name
from pipelines.servers.calls import ServerTool
from pipelines.servers.discovery import discover
from pipelines.tools.base import ToolSpec
from pipelines.tools.invoke import ToolInvoker
from pipelines.tools.isolation import Isolation
from pipelines.tools.registry import ToolCatalog

RUN = "0197a0b2-0000-7000-8000-000000000001"


async def invoked(address: ServerAddress, tool: str, given: dict[str, Any], *, seconds: float = 30) -> Any:
    """One call as a worker makes it."""
    name = tool_name(address.name, tool)
    spec = ToolSpec(
        name=name,
        description="",
        input_schema={},
        output_schema={},
        call=ServerTool(address, tool, has_output_schema=tool == "mute"),
    )
    async with Isolation(size=1) as isolation:
        invoke = ToolInvoker(
            ToolCatalog([spec]), isolation, run_id=RUN, task_id="t", now=datetime(2025, 6, 2, tzinfo=UTC)
        )
        call = ToolCall(spec=spec, input=given, path="send", attempt=1, timeout=timedelta(seconds=seconds))
        return await invoke(call)


def result(address: ServerAddress, tool: str, /, seconds: float = 30, **given: Any) -> Any:
    return asyncio.run(invoked(address, tool, given, seconds=seconds))


def failure(address: ServerAddress, tool: str, /, seconds: float = 30, **given: Any) -> PipelineError:
    with pytest.raises(PipelineError) as caught:
        result(address, tool, seconds, **given)
    return caught.value


def refusal(address: ServerAddress, seconds: float = 20) -> PipelineError:
    with pytest.raises(PipelineError) as caught:
        discover(address, seconds=seconds)
    return caught.value
