"""Ask a server for its tools, and judge each: may pipelines use it, and what does repeating it do?"""

import asyncio
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from pipelines.document.schemas import compile_schema
from pipelines.errors import ErrorClass, PipelineError
from pipelines.servers.addresses import ServerAddress, tool_name
from pipelines.servers.calls import load_sessions
from pipelines.tools.base import SideEffect
from pipelines.tools.json_schema import check_schema
from scheduling.definitions.json_values import problems_of

MOST_TOOLS = 1000
MOST_SCHEMA_BYTES = 64 * 1024
_LONGEST_NAME = 120  # of `uses` in the journal
_LONGEST_DESCRIPTION = 10_000
_STORED_NAME = 200
_TOOL_NAME = re.compile(r"[A-Za-z0-9_-]+([.:/][A-Za-z0-9_-]+)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundTool:
    """A tool that a server lists. One with a `problem` is kept to be shown and is not offered; it has no schemas."""

    name: str
    description: str
    input_schema: dict[str, Any]
    output_schema: dict[str, Any] | None
    side_effect: SideEffect
    problem: str = ""


def discover(address: ServerAddress, *, seconds: float) -> list[FoundTool]:
    """The tools of a server, by name. Raises PipelineError where it cannot be asked, or does not answer in time.

    For a thread without a running event loop, and without an open transaction: the server may take its time.
    """
    return asyncio.run(_discover(address, seconds))


async def _discover(address: ServerAddress, seconds: float) -> list[FoundTool]:
    try:
        async with asyncio.timeout(seconds):
            listed = await (await load_sessions()).read_tools(address)
    except TimeoutError:
        raise PipelineError(
            "timeout", ErrorClass.TIMEOUT, f"{address.name} did not list its tools within {seconds:g} seconds"
        ) from None
    if len(listed) > MOST_TOOLS:
        raise PipelineError("too_large", ErrorClass.LIMIT, f"{address.name} has more than {MOST_TOOLS} tools")
    found = {tool.name: found_tool(address.name, tool.model_dump(by_alias=True, mode="json")) for tool in listed}
    return [found[name] for name in sorted(found)]


def found_tool(server: str, listed: dict[str, Any]) -> FoundTool:
    """A tool as the protocol lists it, judged."""
    given = {name: listed.get(name) for name in ("name", "description", "inputSchema", "outputSchema")}
    problem = next(_problems(server, given), "")
    name = str(given["name"]).replace("\x00", "").encode("utf-8", "replace").decode()[:_STORED_NAME]
    return FoundTool(
        name=name,
        description="" if problem else str(given["description"] or "")[:_LONGEST_DESCRIPTION],
        input_schema={} if problem else given["inputSchema"] or {},
        output_schema=None if problem else given["outputSchema"],
        side_effect=side_effect_of(listed.get("annotations") or {}),
        problem=problem[:500],
    )


def side_effect_of(hints: dict[str, Any]) -> SideEffect:
    """What repeating a call does, as the server hints. Silence is an effect.

    Never `pure`: a hint of somebody else's must not let a simulated run reach that server.
    """
    is_repeatable = hints.get("readOnlyHint") is True or hints.get("idempotentHint") is True
    return SideEffect.IDEMPOTENT if is_repeatable else SideEffect.EFFECT


def _problems(server: str, given: dict[str, Any]) -> Iterator[str]:
    name = given["name"]
    if not _TOOL_NAME.fullmatch(name):
        yield "no step can name it: letters, digits, hyphens and underscores, with single . : / between"
    if len(tool_name(server, name)) > _LONGEST_NAME:
        yield f"its name has more than {_LONGEST_NAME} characters with that of the server"
    if unstorable := problems_of(given):
        yield unstorable[0].detail
        return
    for field, schema in (("input", given["inputSchema"]), ("output", given["outputSchema"])):
        if schema is None:
            continue
        try:
            if len(orjson.dumps(schema)) > MOST_SCHEMA_BYTES:
                yield f"its {field} schema has more than {MOST_SCHEMA_BYTES} bytes"
                continue
            check_schema(schema)
            compile_schema(schema)
        except (ValueError, TypeError) as error:  # TypeError: what orjson cannot write
            yield f"its {field} schema is none: {str(error).splitlines()[0]}"
