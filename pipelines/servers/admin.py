"""Tool servers in the console: their form, what they offer, and the catalog of all tools."""

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget, UnfoldBooleanSwitchWidget

from pipelines.models import ToolServer, ToolServerTool
from pipelines.servers import operations
from pipelines.servers.offers import current_catalog
from pipelines.servers.selectors import shown_servers
from scheduling.audit.operations import Actor
from scheduling.console.deeds import Deed
from scheduling.console.forms import OperationAdmin, OperationForm
from scheduling.console.listing import ReadOnlyAdmin, exact_time

MANAGE_SERVERS = "pipelines.change_toolserver"
REMOVE_SERVERS = "pipelines.delete_toolserver"


class ToolServerForm(OperationForm):
    name = forms.CharField(
        help_text="Unique; pipelines name its tools mcp:NAME/TOOL. It stays.", widget=UnfoldAdminTextInputWidget
    )
    url = forms.CharField(
        required=False,
        help_text="Of a server over streamable HTTP. The token of its host stands in ORDINAUT_MCP_TOKENS.",
        widget=UnfoldAdminTextInputWidget,
    )
    command = forms.CharField(
        required=False,
        help_text="Of a server that is started for each call: program and arguments, one a line. The program must "
        "stand in ORDINAUT_MCP_COMMANDS of every host.",
        widget=UnfoldAdminTextareaWidget({"rows": 4}),
    )
    is_enabled = forms.BooleanField(
        required=False, initial=True, help_text="Pipelines may use its tools.", widget=UnfoldBooleanSwitchWidget
    )

    field_of_pointer: ClassVar[dict[str, str]] = {"enabled": "is_enabled"}

    class Meta:
        model = ToolServer
        fields = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.is_new:
            del self.fields["name"]
            server = self.instance
            written = {"url": server.url, "command": "\n".join(server.command), "is_enabled": server.is_enabled}
            self.initial = {**self.initial, **written}

    def carry_out(self, given: dict[str, Any]) -> ToolServer:
        command = [part for line in given["command"].splitlines() if (part := line.strip())]
        changes = {"url": given["url"], "enabled": given["is_enabled"]}
        if self.is_new or command != list(self.instance.command):
            changes["command"] = command
        if self.is_new:
            return operations.create_server(actor=self.actor, definition={"name": given["name"], **changes})
        return operations.update_server(actor=self.actor, server=self.instance, changes=changes)


def _refresh(actor: Actor, server: ToolServer) -> SafeString:
    refreshed = operations.refresh_tools(actor=actor, server=server)
    return format_html("The tools of {} are read: {} of them.", server, refreshed.tools.count())


def _enable(actor: Actor, server: ToolServer) -> SafeString:
    operations.update_server(actor=actor, server=server, changes={"enabled": True})
    return format_html("{} is enabled: pipelines may use its tools, and runs that waited for them go on.", server)


def _disable(actor: Actor, server: ToolServer) -> SafeString:
    operations.update_server(actor=actor, server=server, changes={"enabled": False})
    return format_html("{} is disabled: pipelines that name its tools are refused, and runs wait.", server)


def _delete(actor: Actor, server: ToolServer) -> SafeString:
    operations.delete_server(actor=actor, server=server)
    return format_html("{} is deleted.", server)


@admin.register(ToolServer)
class ToolServerAdmin(OperationAdmin):
    form = ToolServerForm
    list_display = ("name", "url", "program", "is_enabled", "discovered", "last_error")
    list_filter = ("is_enabled",)
    search_fields = ("name",)
    ordering = ("name",)
    change_form_outer_before_template = "console/tool_server_before.html"
    discovered = exact_time("discovered_at", "tools read")
    deeds = (
        Deed(name="refresh", label="Refresh tools", permission=MANAGE_SERVERS, perform=_refresh),
        Deed(
            name="enable",
            label="Enable",
            permission=MANAGE_SERVERS,
            perform=_enable,
            is_offered=lambda server: not server.is_enabled,
        ),
        Deed(
            name="disable",
            label="Disable",
            permission=MANAGE_SERVERS,
            perform=_disable,
            is_offered=lambda server: server.is_enabled,
            confirm="Refuse pipelines that name its tools, and let runs that need them wait?",
            is_danger=True,
        ),
        Deed(
            name="delete",
            label="Delete",
            permission=REMOVE_SERVERS,
            perform=_delete,
            confirm="Delete this tool server with what is known of its tools? This cannot be undone.",
            is_danger=True,
            removes=True,
        ),
    )

    def get_urls(self) -> list[URLPattern]:
        shown = self.admin_site.admin_view(self.catalog_view)
        return [path("catalog/", shown, name="tool_catalog"), *super().get_urls()]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Not by Django's own page, which knows no operations: deleting is a deed."""
        return False

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        fields = ["url", "command", "is_enabled"]
        return ((None, {"fields": fields if obj else ["name", *fields]}),)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        server = self.get_object(request, object_id)
        context = extra_context or {}
        if server is not None:
            shown = shown_servers().get(pk=server.pk)
            context |= {"server": shown, "tools": shown.tools.all(), "buttons": self.buttons(request, shown)}
        return super().change_view(request, object_id, form_url, context)  # type: ignore[no-any-return]

    @admin.display(description="command")
    def program(self, server: ToolServer) -> str:
        return " ".join(server.command)

    def catalog_view(self, request: HttpRequest) -> HttpResponse:
        """The tools that pipelines may use on the host that answers."""
        if not request.user.has_perm("scheduling.view_task"):
            raise PermissionDenied
        found = current_catalog()
        specs: list[Any] = [spec for name in found.names() if (spec := found.get(name)) is not None]
        context = {
            **self.admin_site.each_context(request),
            "title": "Tools",
            "specs": specs,
            "problems": found.problems,
        }
        return TemplateResponse(request, "console/tools.html", context)


@admin.register(ToolServerTool)
class ToolServerToolAdmin(ReadOnlyAdmin):
    """What servers offer, over all of them: which tools are refused, and when each has last changed."""

    list_display = ("name", "server", "side_effect", "problem", "discovered")
    list_select_related = ("server",)
    list_filter = ("side_effect", "server")
    search_fields = ("name", "server__name")
    ordering = ("server__name", "name")
    discovered = exact_time("discovered_at", "as it is since")
