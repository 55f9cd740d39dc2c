"""A tool server as the API shows it."""

from rest_framework import serializers

from pipelines.models import ToolServerTool
from pipelines.servers.addresses import tool_name
from pipelines.tools.base import SideEffect
from scheduling.api.shapes import Shape
from scheduling.definitions.fields import Instant


class ToolServerSummaryShape(Shape):
    """A tool server in a list."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    url = serializers.CharField(allow_blank=True)
    command = serializers.ListField(child=serializers.CharField())
    enabled = serializers.BooleanField(source="is_enabled")
    tool_count = serializers.IntegerField(help_text="Tools that pipelines can use while it is enabled.")
    discovered_at = Instant(allow_null=True, help_text="When its tools were last read. Null: never yet.")
    last_error = serializers.CharField(allow_blank=True, help_text="Why they could not be read since; empty: all well.")
    version = serializers.IntegerField()
    created_at = Instant()
    updated_at = Instant()


class ServerToolShape(Shape):
    """A tool of a server, as it was last discovered."""

    name = serializers.SerializerMethodField(help_text="What `uses` calls it; its schemas are at /tools/{name}.")
    description = serializers.CharField(allow_blank=True)
    side_effect = serializers.ChoiceField(choices=[str(each) for each in SideEffect])
    problem = serializers.CharField(allow_blank=True, help_text="Why pipelines cannot use it; empty: they can.")

    def get_name(self, tool: ToolServerTool) -> str:
        return tool_name(tool.server.name, tool.name)


class ToolServerShape(ToolServerSummaryShape):
    """A tool server with its tools."""

    tools = ServerToolShape(many=True)
