"""The pages of this app: secrets, tool servers, and the catalog of tools."""

from pipelines.secrets.admin import SecretAdmin
from pipelines.servers.admin import ToolServerAdmin, ToolServerToolAdmin

__all__ = ["SecretAdmin", "ToolServerAdmin", "ToolServerToolAdmin"]
