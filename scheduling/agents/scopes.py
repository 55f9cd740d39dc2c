"""What a token may be allowed to do, as words. An agent holds scopes; its tokens hold the same or fewer.

Without `all:read` and `all:write` a scope speaks of the agent's own objects alone: another agent's object answers
exactly like one that does not exist.
"""

from collections.abc import Iterable

from scheduling.definitions.strict import did_you_mean
from scheduling.errors import Problem

SCOPES: dict[str, str] = {
    "tasks:read": "See tasks, their revisions and schedules, and calendars; preview schedules; validate pipelines.",
    "tasks:write": "Create, change, pause, resume and archive tasks and schedules; write calendars.",
    "runs:read": "See runs and their steps.",
    "runs:write": "Start, cancel and retry runs.",
    "approvals:decide": "Approve and reject what the runs of other agents ask; with all:read, which shows them.",
    "events:write": "Publish events.",
    "tools:read": "See the catalog of tools and the schema of pipelines.",
    "secrets:write": "Set, limit and delete secrets, which nobody reads back.",
    "tools:admin": "Register MCP servers over HTTP, and refresh, disable and remove any.",
    "workers:read": "See workers and queues.",
    "queues:operate": "Pause and resume queues for everybody; set their rates, fairness and weight.",
    "workers:write": "Drain workers.",
    "agents:admin": "Manage agents and their tokens, never beyond one's own scopes.",
    "all:read": "See every agent's objects, not only one's own.",
    "all:write": "Change every agent's objects, not only one's own.",
}

# What an assistant needs for the main job: its own tasks, runs, events and the catalog.
DEFAULT_SCOPES = ("tasks:read", "tasks:write", "runs:read", "runs:write", "events:write", "tools:read", "workers:read")


def problems_of_scopes(scopes: Iterable[str], *, allowed: Iterable[str] | None = None) -> list[Problem]:
    """What is wrong with these scopes: unknown words, and those beyond `allowed` where it is given."""
    ceiling = None if allowed is None else set(allowed)
    found: list[Problem] = []
    for index, scope in enumerate(scopes):
        pointer = f"/scopes/{index}"
        if scope not in SCOPES:
            found.append(
                Problem(
                    pointer=pointer,
                    code="unknown_scope",
                    detail=f"There is no scope {scope!r}.",
                    hint=did_you_mean(scope, SCOPES) or f"Known scopes: {', '.join(SCOPES)}.",
                )
            )
        elif ceiling is not None and scope not in ceiling:
            found.append(
                Problem(
                    pointer=pointer,
                    code="scope_not_held",
                    detail=f"The scope {scope!r} cannot be granted by one who does not hold it.",
                )
            )
    return found
