"""What pipelines need kept: secrets and the addresses of tool servers."""

from typing import Any, ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from pipelines.tools.base import SideEffect
from scheduling.ids import new_id


class Secret(models.Model):
    """A value that pipelines name and nobody reads back. Encrypted with a key from outside the database."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    agent = models.ForeignKey("scheduling.Agent", on_delete=models.CASCADE, related_name="secrets")
    name = models.SlugField(max_length=80)
    ciphertext = models.BinaryField()
    key_id = models.CharField(max_length=16, help_text="Which key it is encrypted with.")
    tools = ArrayField(models.CharField(max_length=200), default=list, help_text="The tools that may be given it.")
    hosts = ArrayField(
        models.CharField(max_length=253),
        default=list,
        blank=True,
        help_text="Where alone it may be sent; empty: anywhere.",
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints: ClassVar[list[Any]] = [
            models.UniqueConstraint(fields=["agent", "name"], name="secret_name_unique_for_agent"),
        ]

    def __str__(self) -> str:
        return self.name


class ToolServer(models.Model):
    """An MCP server whose tools are offered as `mcp:<name>/<tool>`. Its tools are known from its last discovery."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    name = models.SlugField(max_length=60, unique=True)
    url = models.URLField(blank=True, help_text="Of a server over HTTP.")
    command = ArrayField(models.CharField(max_length=300), default=list, blank=True, help_text="Of a local server.")
    is_enabled = models.BooleanField(default=True)
    discovered_at = models.DateTimeField(null=True, editable=False, help_text="When its tools were last read.")
    last_error = models.TextField(blank=True, default="", help_text="Why they could not be read since.")
    version = models.PositiveIntegerField(
        default=1, db_default=1, help_text="Raised by each change, of its tools as well."
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints: ClassVar[list[Any]] = [
            models.CheckConstraint(
                condition=(~Q(url="") & Q(command=[])) | (Q(url="") & ~Q(command=[])), name="tool_server_one_way_in"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class ToolServerTool(models.Model):
    """A tool of a server as it was when it was last discovered. One with a `problem` is not offered."""

    server = models.ForeignKey(ToolServer, on_delete=models.CASCADE, related_name="tools")
    name = models.CharField(max_length=200, help_text="As the server names it.")
    description = models.TextField(blank=True, default="")
    input_schema = models.JSONField()
    output_schema = models.JSONField(null=True, help_text="Null: the server declares none.")
    side_effect = models.CharField(max_length=10, choices=[(str(each), str(each)) for each in SideEffect])
    problem = models.CharField(max_length=500, blank=True, default="", help_text="Why pipelines cannot use it.")
    discovered_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar[list[Any]] = [
            models.UniqueConstraint(fields=["server", "name"], name="tool_name_unique_for_server"),
        ]

    def __str__(self) -> str:
        return f"mcp:{self.server.name}/{self.name}"
