"""Find what an address names, among what the caller may see: another agent's object is as good as missing."""

from typing import Any, Protocol, TypeVar
from uuid import UUID

from django.db.models import Model, QuerySet
from rest_framework.request import Request

from scheduling.agents.models import Agent
from scheduling.api.access import MissingScope
from scheduling.api.principal import Principal, principal_of

Row = TypeVar("Row", bound=Model)
RowOut = TypeVar("RowOut", bound=Model, covariant=True)


class Rows(Protocol[RowOut]):
    """A selector: the rows of one agent, or all of them for None."""

    def __call__(self, agent: Agent | None, /) -> QuerySet[RowOut]: ...


def caller_of(request: Request) -> Principal:
    principal = principal_of(request)
    assert principal is not None, "a view without access was reached"
    return principal


def seen(request: Request, rows: Rows[Row]) -> QuerySet[Row]:
    """All rows that the caller may see."""
    return rows(caller_of(request).sees_only())


def find(request: Request, rows: Rows[Row], pk: UUID) -> Row:
    """The row to read; DoesNotExist, which is 404, for a missing and for a foreign one alike."""
    return seen(request, rows).get(pk=pk)


def find_to_change(request: Request, rows: Rows[Row], pk: UUID, *, owner: str = "agent_id") -> Row:
    """The row to change. One that is seen by `all:read` but not the caller's own needs `all:write`.

    `owner` is the path of attributes from the row to the id of the agent that it belongs to.
    """
    row = find(request, rows, pk)
    agent = caller_of(request).changes_only()
    owner_id: Any = row
    for name in owner.split("."):
        owner_id = getattr(owner_id, name)
    if agent is not None and owner_id != agent.pk:
        raise MissingScope("the scope all:write")
    return row
