"""A tool server as it is written, and what it may be."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rest_framework import serializers

from pipelines import conf
from pipelines.models import ToolServer
from pipelines.tools.http_client import web_address
from scheduling.definitions.fields import Slug, Text, Truth
from scheduling.definitions.strict import StrictSerializer
from scheduling.errors import NotValid, Problem

_COLUMNS = {"name": "name", "url": "url", "command": "command", "enabled": "is_enabled"}


class ToolServerChanges(StrictSerializer):
    """What may be changed of a tool server; what is left out stays."""

    elsewhere: Mapping[str, str] = {"name": "A server keeps its name: pipelines name its tools by it."}

    url = Text(
        required=False, allow_blank=True, max_length=200, help_text="Of its streamable HTTP endpoint; no credentials."
    )
    command = serializers.ListField(
        child=Text(max_length=300),
        required=False,
        max_length=50,
        help_text="Program and arguments of a server that speaks over its standard streams. Operators only.",
    )
    enabled = Truth(required=False, help_text="Pipelines may use its tools.")


class ToolServerDefinition(ToolServerChanges):
    """An MCP server whose tools pipelines use as `mcp:<name>/<tool>`: it has a `url` or a `command`."""

    elsewhere: Mapping[str, str] = {}

    name = Slug(max_length=60, help_text="Unique; it is part of the names of the tools.")


def apply(server: ToolServer, values: Mapping[str, Any]) -> None:
    """Lay validated values over the columns; those that are missing stay. NotValid with pointers for what cannot be.

    Giving one way in takes the other away.
    """
    for name, column in _COLUMNS.items():
        if name in values:
            setattr(server, column, values[name])
    if values.get("url") and "command" not in values:
        server.command = []
    if values.get("command") and "url" not in values:
        server.url = ""
    problems = list(_problems(server))
    if "command" in values:  # what another host may start, this one may still disable
        problems += _problems_of_command(server.command)
    if problems:
        raise NotValid.because(problems)


def _problems(server: ToolServer) -> Iterator[Problem]:
    if bool(server.url) == bool(server.command):
        yield Problem(
            pointer="/url",
            code="one_way_in",
            detail="A tool server has either a url or a command.",
            hint="Give the one by which it is reached.",
        )
    if server.url:
        yield from _problems_of_url(server.url)


def _problems_of_command(command: Sequence[str]) -> Iterator[Problem]:
    if command and command[0] not in conf.mcp_commands():
        yield Problem(
            pointer="/command/0",
            code="command_not_allowed",
            detail=f"ORDINAUT_MCP_COMMANDS of this host does not name the program {command[0][:80]!r}.",
            hint="An operator of the hosts lists the programs that may be started as tool servers.",
        )


def _problems_of_url(text: str) -> Iterator[Problem]:
    try:
        url = web_address(text)
    except ValueError as error:
        yield Problem(pointer="/url", code="invalid_url", detail=f"This cannot be: {error}.")
        return
    if url.userinfo:
        yield Problem(
            pointer="/url",
            code="credentials_in_url",
            detail="The URL of a tool server carries no credentials: everybody who sees the server would see them.",
            hint="Give the token of its host in ORDINAUT_MCP_TOKENS.",
        )
