"""What a request needs. Each view declares it for each of its methods; a test walks the addresses and asks for all."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from scheduling.api.principal import principal_of
from scheduling.errors import Forbidden, Problem

if TYPE_CHECKING:
    # DRF reads its settings, which name this module, while its views are imported.
    from rest_framework.views import APIView


@dataclass(frozen=True, slots=True)
class Access:
    """Agents need `scope`; operators the Django permission. Neither: being known is enough."""

    scope: str | None
    permission: str | None
    writes: bool = False


READ_TASKS = Access("tasks:read", "scheduling.view_task")
WRITE_TASKS = Access("tasks:write", "scheduling.change_task", writes=True)
OPERATE_TASKS = Access("tasks:write", "scheduling.operate_task", writes=True)
READ_RUNS = Access("runs:read", "scheduling.view_run")
START_RUNS = Access("runs:write", "scheduling.operate_task", writes=True)
OPERATE_RUNS = Access("runs:write", "scheduling.operate_run", writes=True)
DECIDE_APPROVALS = Access("approvals:decide", "scheduling.operate_run", writes=True)
WRITE_EVENTS = Access("events:write", "scheduling.operate_task", writes=True)
READ_TOOLS = Access("tools:read", "scheduling.view_task")
READ_TOOL_SERVERS = Access("tools:admin", "pipelines.view_toolserver")
WRITE_TOOL_SERVERS = Access("tools:admin", "pipelines.change_toolserver", writes=True)
OPERATE_QUEUES = Access("queues:operate", "scheduling.operate_queue", writes=True)
READ_WORKERS = Access("workers:read", "workers.view_worker")
OPERATE_WORKERS = Access("workers:write", "workers.operate_worker", writes=True)
READ_SECRETS = Access("tasks:read", "pipelines.view_secret")
WRITE_SECRETS = Access("secrets:write", "pipelines.change_secret", writes=True)
READ_AGENTS = Access("agents:admin", "scheduling.view_agent")
WRITE_AGENTS = Access("agents:admin", "scheduling.change_agent", writes=True)
ANYONE_KNOWN = Access(None, None)


class ScopePermission(BasePermission):
    """Refuses, by name, a caller who lacks what the view's access asks for."""

    def has_permission(self, request: Request, view: "APIView") -> bool:
        needed: Access | None = view.access.get((request.method or "").lower().replace("head", "get"))  # type: ignore[attr-defined]
        principal = principal_of(request)
        if needed is None or principal is None:
            return principal is not None
        lacking = principal.lacks(scope=needed.scope, permission=needed.permission)
        if lacking is not None:
            raise MissingScope(lacking)
        return True


class MissingScope(Forbidden):
    """The caller lacks what this needs."""

    code = "scope_missing"

    def __init__(self, lacking: str) -> None:
        super().__init__(f"This needs {lacking}.", hint="GET /api/v1/agents/me shows what the token may do.")
        self.problems = (Problem(pointer="", code=self.code, detail=self.detail),)
