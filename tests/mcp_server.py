"""A real MCP server, by the SDK's own server class: `python tests/mcp_server.py http PORT` or `... stdio [PIDFILE]`.

What it offers is what the tests of tool servers need, over two pages. `vanish` takes `fleeting` off the list.
"""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import mcp_types as types
import uvicorn
from mcp.server import Server, ServerRequestContext
from mcp.server.stdio import stdio_server

_OBJECT: dict[str, Any] = {"type": "object"}
_SUM: dict[str, Any] = {"type": "object", "required": ["sum"], "properties": {"sum": {"type": "integer"}}}
_NUMBERS: dict[str, Any] = {
    "type": "object",
    "required": ["a", "b"],
    "additionalProperties": False,
    "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
}
_GONE: set[str] = set()


def tools() -> list[types.Tool]:
    read_only, repeatable = types.ToolAnnotations(read_only_hint=True), types.ToolAnnotations(idempotent_hint=True)
    offered = [
        types.Tool(name="add", description="Add.", input_schema=_NUMBERS, output_schema=_SUM, annotations=read_only),
        types.Tool(name="greet", description="Say hello.", input_schema=_OBJECT, annotations=repeatable),
        types.Tool(name="fail", input_schema=_OBJECT),
        types.Tool(name="slow", input_schema=_OBJECT),
        types.Tool(name="large", input_schema=_OBJECT),
        types.Tool(name="die", input_schema=_OBJECT),
        types.Tool(name="lies", description="Breaks its own schema.", input_schema=_OBJECT, output_schema=_SUM),
        types.Tool(name="mute", description="Forgets its schema.", input_schema=_OBJECT, output_schema=_SUM),
        types.Tool(name="told", description="What it was told beside its input.", input_schema=_OBJECT),
        types.Tool(name="vanish", input_schema=_OBJECT),
        types.Tool(name="fleeting", input_schema=_OBJECT),
        types.Tool(name="asks", input_schema=_OBJECT),
        types.Tool(name="bad name", input_schema=_OBJECT),
        types.Tool(name="bad-schema", input_schema={"type": "object", "properties": {"a": {"type": "no such"}}}),
        types.Tool(name="far-schema", input_schema={"type": "object", "$ref": "https://schemas.example/a.json"}),
    ]
    return [tool for tool in offered if tool.name not in _GONE]


async def list_tools(
    context: ServerRequestContext[Any], params: types.PaginatedRequestParams | None
) -> types.ListToolsResult:
    offered = tools()
    half = len(offered) // 2
    if params is None or params.cursor is None:
        return types.ListToolsResult(tools=offered[:half], next_cursor="second")
    return types.ListToolsResult(tools=offered[half:])


async def call_tool(context: ServerRequestContext[Any], params: types.CallToolRequestParams) -> Any:
    given = params.arguments or {}
    match params.name:
        case "add":
            value = {"sum": given["a"] + given["b"]}
            return types.CallToolResult(content=[_text(str(value["sum"]))], structured_content=value)
        case "greet":
            return types.CallToolResult(content=[_text(f"Hello {given.get('name')}"), _text("Bye")])
        case "large":
            return types.CallToolResult(content=[_text("x" * (given["mebibytes"] * 1024 * 1024))])
        case "told":
            return types.CallToolResult(content=[], structured_content=_seen(context, params))
        case "slow":
            await sleep(given.get("child"))
        case "die":
            os._exit(3)
        case "vanish":
            _GONE.add("fleeting")
        case name if name in ODD:
            return ODD[name]
        case name if name not in {tool.name for tool in tools()}:
            return types.CallToolResult(content=[_text(f"Unknown tool: {name}")], is_error=True)
    return types.CallToolResult(content=[_text("done")])


async def sleep(child: str | None) -> None:
    """For long, with a child that sleeps as well and whose pid is written to the file `child`."""
    if child is not None:
        process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], stdout=sys.stderr)
        Path(child).write_text(str(process.pid))
    await asyncio.sleep(600)


def _seen(context: ServerRequestContext[Any], params: types.CallToolRequestParams) -> dict[str, Any]:
    request = context.request
    return {
        "meta": {name: value for name, value in (params.meta or {}).items() if name.startswith("ordinaut")},
        "environment": sorted(os.environ),
        "authorization": "" if request is None else str(request.headers.get("authorization", "")),
    }


def _text(words: str) -> types.TextContent:
    return types.TextContent(text=words)


ODD: dict[str, types.CallToolResult | types.InputRequiredResult] = {
    "fail": types.CallToolResult(content=[_text("the door is locked")], is_error=True),
    "lies": types.CallToolResult(content=[], structured_content={"sum": "many"}),
    "asks": types.InputRequiredResult(request_state="more"),
}

server: Server[Any] = Server("test", on_list_tools=list_tools, on_call_tool=call_tool)


async def over_stdio() -> None:
    async with stdio_server() as (reading, writing):
        await server.run(reading, writing, server.create_initialization_options())


def main() -> None:
    match sys.argv[1:]:
        case ["stdio", *rest]:
            if rest:
                Path(rest[0]).write_text(str(os.getpid()))
            asyncio.run(over_stdio())
        case ["http", port]:
            app = server.streamable_http_app()
            uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="warning", timeout_graceful_shutdown=1)


if __name__ == "__main__":
    main()
