"""Register, change and remove tool servers, and read their tools. Audited; each change is one transaction.

Locks: the server's row. Every change raises its version, by which all processes see it within a second or two.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import connection, transaction

from pipelines.errors import PipelineError
from pipelines.models import ToolServer, ToolServerTool
from pipelines.servers.addresses import ServerAddress
from pipelines.servers.definition import ToolServerChanges, ToolServerDefinition, apply
from pipelines.servers.discovery import FoundTool, discover
from pipelines.servers.offers import forget
from scheduling.audit.models import ActorKind
from scheduling.audit.operations import Actor, record, save_changes
from scheduling.audit.snapshots import snapshot
from scheduling.definitions.strict import parse
from scheduling.errors import Conflict, Forbidden, KeyTaken, LimitReached, VersionMismatch
from scheduling.instants import database_moment, database_now

SERVERS_LIMIT = 100
DISCOVERY_SECONDS = 20.0
_NOT_AUDITED = frozenset({"version", "updated_at", "discovered_at", "last_error"})
_DESCRIBED = ("description", "input_schema", "output_schema", "side_effect", "problem")
_SHOWN = 50  # names of tools in one entry of the audit trail


class ServerNotRead(Conflict):
    """The tool server could not be asked for its tools."""

    code = "tool_server_not_read"


@transaction.atomic
def create_server(*, actor: Actor, definition: Mapping[str, Any]) -> ToolServer:
    """Store a server. Its tools are unknown until they are read. NotValid with pointers; KeyTaken; LimitReached."""
    values = parse(ToolServerDefinition, definition)
    _require_operator(actor, values)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('ordinaut tool servers', 0))")
    if ToolServer.objects.filter(name=values["name"]).exists():
        raise KeyTaken(f"There is a tool server named {values['name']!r} already.", pointer="/name")
    if ToolServer.objects.count() >= SERVERS_LIMIT:
        raise LimitReached(f"There are at most {SERVERS_LIMIT} tool servers.")
    now = database_now()
    server = ToolServer(created_at=now, updated_at=now)
    apply(server, values)
    server.save(force_insert=True)
    record(actor=actor, action="tool_server.create", target=server, after=snapshot(server, leave_out=_NOT_AUDITED))
    transaction.on_commit(forget)
    return server


@transaction.atomic
def update_server(
    *, actor: Actor, server: ToolServer, changes: Mapping[str, Any], expected_version: int | None = None
) -> ToolServer:
    """Change some fields. Tools that were read stay, also where the address is another; read them again then.

    VersionMismatch where `expected_version` is not the server's. Nothing changed: nothing is written.
    """
    values = parse(ToolServerChanges, changes, partial=True)
    _require_operator(actor, values)
    held = _lock(server)
    if expected_version is not None and held.version != expected_version:
        raise VersionMismatch(hint="Read the tool server again and apply the change to what it is now.")
    before = snapshot(held, leave_out=_NOT_AUDITED)
    apply(held, values)
    if save_changes(actor=actor, action="tool_server.update", target=held, before=before, leave_out=_NOT_AUDITED):
        transaction.on_commit(forget)
    return held


@transaction.atomic
def delete_server(*, actor: Actor, server: ToolServer) -> None:
    """Remove it with its tools. Tasks that name them keep their pipelines; their runs wait for such tools to be there
    again, and say so."""
    held = _lock(server)
    record(actor=actor, action="tool_server.delete", target=held, before=snapshot(held, leave_out=_NOT_AUDITED))
    held.delete()
    transaction.on_commit(forget)


def refresh_tools(*, actor: Actor, server: ToolServer) -> ToolServer:
    """Ask the server for its tools and keep what it says; audited, whatever comes of it.

    Opens no transaction while the server is asked, and must be called in none. ServerNotRead where it could not be
    asked: the tools that are known stay, and the server's `last_error` says why. Conflict where it was changed
    meanwhile.
    """
    address = ServerAddress.of(server)
    try:
        found = discover(address, seconds=DISCOVERY_SECONDS)
    except PipelineError as error:
        _keep_error(actor, server, error)
        hint = f"It was asked from this host. The failure is called {error.code}."
        raise ServerNotRead(f"{_sentence(error.detail)} Its tools stay as they are.", hint=hint) from error
    return _keep(actor, address, server, found)


@transaction.atomic
def _keep(actor: Actor, address: ServerAddress, server: ToolServer, found: Sequence[FoundTool]) -> ToolServer:
    held = _lock(server)
    if ServerAddress.of(held) != address:
        raise Conflict("The tool server was changed while its tools were read.", hint="Read them again.")
    now = database_moment()
    known = {tool.name: tool for tool in held.tools.all()}
    added, changed = [], []
    for each in found:
        tool = known.pop(each.name, None)
        fields = {name: getattr(each, name) for name in _DESCRIBED} | {"side_effect": str(each.side_effect)}
        if tool is None:
            added.append(ToolServerTool(server=held, name=each.name, discovered_at=now, **fields))
        elif any(getattr(tool, name) != value for name, value in fields.items()):
            for name, value in fields.items():
                setattr(tool, name, value)
            tool.discovered_at = now
            changed.append(tool)
    held.tools.filter(pk__in=[tool.pk for tool in known.values()]).delete()
    ToolServerTool.objects.bulk_create(added)
    ToolServerTool.objects.bulk_update(changed, [*_DESCRIBED, "discovered_at"])
    held.discovered_at, held.last_error = now, ""
    if added or changed or known:
        held.version += 1
        held.updated_at = now
    held.save(force_update=True)
    told = {"added": _names(added), "changed": _names(changed), "removed": _names(list(known.values()))}
    record(actor=actor, action="tool_server.refresh", target=held, after={"tools": len(found), **told})
    transaction.on_commit(forget)
    return held


@transaction.atomic
def _keep_error(actor: Actor, server: ToolServer, error: PipelineError) -> None:
    held = _lock(server)
    held.last_error = str(error)
    held.save(force_update=True, update_fields=["last_error"])
    record(actor=actor, action="tool_server.refresh", target=held, after={"error": str(error)})


def _lock(server: ToolServer) -> ToolServer:
    return ToolServer.objects.select_for_update().get(pk=server.pk)


def _require_operator(actor: Actor, values: Mapping[str, Any]) -> None:
    if values.get("command") and actor.kind == ActorKind.AGENT:
        raise Forbidden(
            "Only operators may register a command: it is code that runs on the hosts of the workers.",
            pointer="/command",
            hint="Give the url of a server over HTTP, or ask an operator.",
        )


def _names(tools: Sequence[ToolServerTool]) -> list[str]:
    return sorted(tool.name for tool in tools)[:_SHOWN]


def _sentence(words: str) -> str:
    return words if words.endswith(".") else f"{words}."
