"""Tool servers whose tools are known, without a server that runs."""

from typing import Any

from pipelines.models import ToolServer
from pipelines.servers import operations
from pipelines.servers.addresses import ServerAddress
from pipelines.servers.discovery import FoundTool, found_tool
from pipelines.servers.offers import forget
from scheduling.audit.operations import Actor

ACTOR = Actor.system("tests")
URL = "https://tools.example/mcp"


def listed(name: str, **fields: Any) -> FoundTool:
    """A tool as a server lists it."""
    described = {"description": f"Does {name}.", "inputSchema": {"type": "object"}, "outputSchema": None}
    return found_tool("files", {"name": name, **described, **fields})


def registered(*tools: FoundTool, name: str = "files", **definition: Any) -> ToolServer:
    """A server that has listed these tools."""
    written = {"name": name, "url": URL, **definition}
    server = operations.create_server(actor=ACTOR, definition=written)
    relisted(server, *tools)
    return server


def relisted(server: ToolServer, *tools: FoundTool) -> ToolServer:
    """The same after it has listed these."""
    kept = operations._keep(ACTOR, ServerAddress.of(server), server, tools)
    forget()
    return kept
