"""The addresses of tool servers."""

from uuid import UUID

from django.urls import path
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from pipelines.models import ToolServer
from pipelines.servers import operations
from pipelines.servers.definition import ToolServerChanges, ToolServerDefinition
from pipelines.servers.selectors import listed_servers, shown_servers
from pipelines.servers.shapes import ToolServerShape, ToolServerSummaryShape
from scheduling.api.access import READ_TOOL_SERVERS, WRITE_TOOL_SERVERS
from scheduling.api.idempotency import idempotent
from scheduling.api.pages import page_of
from scheduling.api.parameters import PageParameters
from scheduling.api.principal import actor_of
from scheduling.api.shapes import page_shape
from scheduling.api.views import View, body_of, created, entity_tag, matched_tag
from scheduling.definitions.strict import StrictSerializer, parse
from scheduling.errors import VersionMismatch

FILES = {"name": "files", "url": "https://tools.example.com/mcp"}


class ToolServerList(View):
    tag = "tool servers"
    access = {"get": READ_TOOL_SERVERS, "post": WRITE_TOOL_SERVERS}
    parameters = {"get": PageParameters}

    @extend_schema(operation_id="listToolServers", responses=page_shape(ToolServerSummaryShape))
    def get(self, request: Request) -> Response:
        """List the MCP servers, newest first; each one's tools are on its own page."""
        shown = page_of(
            request, listed_servers(), self.given, lambda rows: list(ToolServerSummaryShape(rows, many=True).data)
        )
        return Response(shown)

    @extend_schema(
        operation_id="createToolServer",
        request=ToolServerDefinition,
        responses={201: ToolServerShape},
        examples=[OpenApiExample("A server over HTTP", FILES, request_only=True)],
    )
    @idempotent
    def post(self, request: Request) -> Response:
        """Register an MCP server. Its tools can be used once they have been read: POST …/refresh."""
        server = operations.create_server(actor=actor_of(request), definition=body_of(request))
        return created(_shown(server.pk), location=f"/api/v1/tool-servers/{server.pk}", tag=entity_tag(server.version))


class ToolServerView(View):
    tag = "tool servers"
    access = {"get": READ_TOOL_SERVERS, "patch": WRITE_TOOL_SERVERS, "delete": WRITE_TOOL_SERVERS}
    conditional_methods = ("patch",)

    @extend_schema(operation_id="getToolServer", responses=ToolServerShape)
    def get(self, request: Request, server_id: UUID) -> Response:
        """Show an MCP server with its tools, as they were last read."""
        return _answer(ToolServer.objects.get(pk=server_id))

    @extend_schema(operation_id="updateToolServer", request=ToolServerChanges, responses=ToolServerShape)
    @idempotent
    def patch(self, request: Request, server_id: UUID) -> Response:
        """Change its address, or disable it: pipelines that name its tools are refused then, and runs wait."""
        server = ToolServer.objects.get(pk=server_id)
        tag = matched_tag(request)
        if tag is not None and not tag.isdecimal():
            raise VersionMismatch(hint="Read the tool server again and apply the change to what it is now.")
        changed = operations.update_server(
            actor=actor_of(request),
            server=server,
            changes=body_of(request),
            expected_version=None if tag is None else int(tag),
        )
        return _answer(changed)

    @extend_schema(operation_id="deleteToolServer", request=None, responses={204: None})
    @idempotent
    def delete(self, request: Request, server_id: UUID) -> Response:
        """Remove an MCP server with its tools. Runs that need them wait until such a server is there again."""
        operations.delete_server(actor=actor_of(request), server=ToolServer.objects.get(pk=server_id))
        return Response(status=204)


class RefreshToolServerView(View):
    tag = "tool servers"
    access = {"post": WRITE_TOOL_SERVERS}

    # It takes no Idempotency-Key: that would hold a transaction open while the server is asked. Repeating does no harm.
    @extend_schema(operation_id="refreshToolServer", request=None, responses=ToolServerShape)
    def post(self, request: Request, server_id: UUID) -> Response:
        """Read its tools anew, from the host that answers. 409 `tool_server_not_read` where that fails: they stay."""
        parse(StrictSerializer, body_of(request))
        server = ToolServer.objects.get(pk=server_id)
        return _answer(operations.refresh_tools(actor=actor_of(request), server=server))


def _answer(server: ToolServer) -> Response:
    return Response(_shown(server.pk), headers={"ETag": entity_tag(server.version)})


def _shown(server_id: UUID) -> object:
    return ToolServerShape(shown_servers().get(pk=server_id)).data


urlpatterns = [
    path("tool-servers", ToolServerList.as_view(), name="tool-servers"),
    path("tool-servers/<uuid:server_id>", ToolServerView.as_view(), name="tool-server"),
    path("tool-servers/<uuid:server_id>/refresh", RefreshToolServerView.as_view(), name="tool-server-refresh"),
]
