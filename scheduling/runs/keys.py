"""The keys of a start: concurrency and deduplication keys may be templates over the run's params."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from scheduling.ports import pipeline_port

_LONGEST = 300


def rendered(template: str, params: Mapping[str, Any]) -> str:
    """A plain text stands for itself; `${...}` sees `params`."""
    if "${" not in template:
        return template
    return str(pipeline_port().render(template, {"params": params}))[:_LONGEST]


def concurrency_key(agent_id: UUID, template: str, params: Mapping[str, Any]) -> str:
    """Keys are kept apart by agent: one must not be able to hold up another by using its words."""
    return f"{agent_id}:{rendered(template, params)}"[:_LONGEST]
