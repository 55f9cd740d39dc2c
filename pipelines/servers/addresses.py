"""Where a tool server is, and what its tools are called."""

from dataclasses import dataclass

from pipelines.models import ToolServer

PREFIX = "mcp:"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerAddress:
    """How a server is reached: `url` is empty for one that is started by `command`, and the other way round."""

    name: str
    url: str = ""
    command: tuple[str, ...] = ()

    @classmethod
    def of(cls, server: ToolServer) -> "ServerAddress":
        return cls(name=server.name, url=server.url, command=tuple(server.command))


def tool_name(server: str, tool: str) -> str:
    """What `uses` calls the tool of a server."""
    return f"{PREFIX}{server}/{tool}"
