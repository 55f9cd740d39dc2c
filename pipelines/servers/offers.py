"""The catalog of every process: the tools that are installed on its host, and those of the tool servers.

Note [Version of the servers]: who changes a server or its tools raises the row's version in the same transaction. A
process that has read the tools asks for the versions now and then (a few bytes a server) and reads anew where they
differ, so that a change is seen within a second or two, on every host, and no step costs a query. Versions are read
before tools: what changes in between is seen as a change the next time.
"""

import threading
import time
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import orjson
from django.db import connection

from pipelines.servers.addresses import PREFIX, ServerAddress, tool_name
from pipelines.servers.calls import ServerTool, simulated_blocks
from pipelines.tools import registry
from pipelines.tools.base import ANY_SECRET, Catalog, SideEffect, ToolSpec
from pipelines.tools.registry import ToolProblem

LOOKS_EVERY = 1.0  # seconds

# Purpose: what tells whether servers or their tools have changed. Index: none, a few rows. Locks: none.
VERSIONS = "/* ordinaut: tool_server_versions */ SELECT id, version, updated_at FROM pipelines_toolserver ORDER BY id"

# Purpose: all tools of all servers, and servers without any. Index: none, read after a change only. Locks: none.
TOOLS = """/* ordinaut: tool_server_tools */
SELECT server.name, server.url, server.command, server.is_enabled, tool.name, tool.description,
    tool.input_schema::text, tool.output_schema::text, tool.side_effect, tool.problem
FROM pipelines_toolserver server LEFT JOIN pipelines_toolservertool tool ON tool.server_id = server.id
ORDER BY server.id, tool.id
"""

Row = tuple[Any, ...]


class HostCatalog(Catalog):
    """Installed tools win their names. `take` replaces the tools of servers, all at once."""

    def __init__(self) -> None:
        self.generation = 0
        self._versions: list[Row] = []
        self._served: dict[str, ToolSpec] = {}
        self._reasons: dict[str, str] = {}

    def get(self, name: str) -> ToolSpec | None:
        return registry.catalog().get(name) or self._served.get(name)

    def names(self) -> Sequence[str]:
        return sorted({*registry.catalog().names(), *self._served})

    @property
    def problems(self) -> Sequence[ToolProblem]:
        """What is left out of the catalog, and why."""
        left_out = (ToolProblem(name, reason) for name, reason in self._reasons.items())
        return (*registry.catalog().problems, *left_out)

    def why_missing(self, name: str) -> str | None:
        server = name.removeprefix(PREFIX).partition("/")[0]
        if not name.startswith(PREFIX):
            return None
        return self._reasons.get(name) or self._reasons.get(tool_name(server, "*"))

    def is_of(self, versions: Iterable[Row]) -> bool:
        """Whether it holds what servers had in these rows of `VERSIONS`."""
        return self._versions == [tuple(row) for row in versions]

    def take(self, versions: Iterable[Row], tools: Iterable[Row]) -> None:
        """Offer what these rows of `TOOLS` say, which were read after those of `VERSIONS`."""
        served: dict[str, ToolSpec] = {}
        reasons: dict[str, str] = {}
        for server, url, command, is_enabled, tool, *described in tools:
            if not is_enabled:
                reasons[tool_name(server, "*")] = f"the tool server {server} is disabled"
            elif tool is not None:
                address = ServerAddress(name=server, url=url, command=tuple(command))
                spec, problem = _spec(address, tool, described), described[-1]
                if problem:
                    reasons[spec.name] = f"the tool server {server} has it, but {problem}"
                else:
                    served[spec.name] = spec
        self._served, self._reasons, self._versions = served, reasons, [tuple(row) for row in versions]
        self.generation += 1


@lru_cache(maxsize=1)
def host_catalog() -> HostCatalog:
    """The catalog of this process, as it was last read. Nobody reads it by itself: see `current_catalog`, and the
    watch of worker processes."""
    return HostCatalog()


class _Look:
    """When this process has last asked for the versions, by Django's connection."""

    turn = threading.Lock()
    at = float("-inf")


def current_catalog() -> HostCatalog:
    """The catalog of this process, not older than a second or two. For whoever works with Django's connection."""
    found = host_catalog()
    # One thread looks, and the others go on with what is known; the first time there is nothing to go on with.
    is_first = found.generation == 0
    if time.monotonic() - _Look.at < LOOKS_EVERY or not _Look.turn.acquire(blocking=is_first):
        return found
    try:
        look_again(found)
        _Look.at = time.monotonic()
    finally:
        _Look.turn.release()
    return found


def look_again(found: HostCatalog) -> None:
    """Read the tools of servers where they have changed."""
    versions = _rows(VERSIONS)
    if not found.is_of(versions):
        found.take(versions, _rows(TOOLS))


def forget() -> None:
    """Let the next `current_catalog` of this process look, however lately it did."""
    _Look.at = float("-inf")


def _rows(query: str) -> list[Row]:
    with connection.cursor() as cursor:
        cursor.execute(query)
        rows: list[Row] = cursor.fetchall()
    return rows


def _spec(address: ServerAddress, tool: str, described: list[Any]) -> ToolSpec:
    description, input_schema, output_schema, side_effect, _problem = described
    has_output_schema = output_schema is not None
    return ToolSpec(
        name=tool_name(address.name, tool),
        description=description,
        input_schema=orjson.loads(input_schema),
        output_schema=orjson.loads(output_schema) if has_output_schema else {},
        side_effect=SideEffect(side_effect),
        call=ServerTool(address, tool, has_output_schema),
        secrets=frozenset({ANY_SECRET}),
        simulate=None if has_output_schema else simulated_blocks,
    )
