"""Read tool servers."""

from django.db.models import Count, Prefetch, Q, QuerySet

from pipelines.models import ToolServer, ToolServerTool


def listed_servers() -> QuerySet[ToolServer]:
    """Every server, each with `tool_count`: how many of its tools pipelines can use, were it enabled."""
    return ToolServer.objects.annotate(tool_count=Count("tools", filter=Q(tools__problem="")))


def shown_servers() -> QuerySet[ToolServer]:
    """The same, with their tools by name."""
    return listed_servers().prefetch_related(Prefetch("tools", ToolServerTool.objects.order_by("name")))
