"""Write the audit trail: who did what to which object."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.db import models
from django.http import HttpRequest

from scheduling.agents.models import Agent, Operator
from scheduling.audit.models import ActorKind, AuditEntry
from scheduling.audit.snapshots import difference, snapshot
from scheduling.instants import database_now


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who acts, and through which request. `id` is empty for the system."""

    kind: ActorKind
    id: str
    label: str
    request_id: str = ""
    address: str | None = None

    @classmethod
    def system(cls, label: str) -> "Actor":
        """A process of our own: `clock`, `up`, a command."""
        return cls(kind=ActorKind.SYSTEM, id="", label=label)

    @classmethod
    def of_operator(cls, user: Operator, request: HttpRequest | None = None) -> "Actor":
        return cls(kind=ActorKind.OPERATOR, id=str(user.pk), label=user.get_username(), **_origin(request))

    @classmethod
    def of_agent(cls, agent: Agent, request: HttpRequest | None = None) -> "Actor":
        return cls(kind=ActorKind.AGENT, id=str(agent.pk), label=agent.name, **_origin(request))

    def __str__(self) -> str:
        return f"{self.kind}:{self.label}"[:120]


def record(
    *,
    actor: Actor,
    action: str,
    target: models.Model,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> AuditEntry:
    """Add one entry. Call it in the transaction of the effect, so that both stand or neither.

    `action` is noun and verb, such as `task.pause`. `before` and `after` are JSON values; see `snapshot`.
    """
    entry = _entry(actor, action, target, before, after)
    entry.save(force_insert=True)
    return entry


def record_each(
    *,
    actor: Actor,
    action: str,
    targets: Iterable[tuple[models.Model, Mapping[str, Any]]],
    after: Mapping[str, Any],
) -> None:
    """Add an entry for each of many, with what it was before, as `record` does for one."""
    AuditEntry.objects.bulk_create(_entry(actor, action, target, before, after) for target, before in targets)


def _entry(
    actor: Actor,
    action: str,
    target: models.Model,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
) -> AuditEntry:
    return AuditEntry(
        actor_kind=actor.kind,
        actor_id=actor.id,
        actor_label=actor.label[:160],
        action=action,
        object_kind=str(target._meta.model_name),
        object_id=str(target.pk),
        object_label=_label(target),
        before=before,
        after=after,
        request_id=actor.request_id,
        address=actor.address,
    )


def _label(target: models.Model) -> str:
    """Its name. A simulated run is called so: the entry outlives its row."""
    return f"{target} (simulated)" if getattr(target, "simulated", False) else str(target)[:200]


def save_changes(
    *,
    actor: Actor,
    action: str,
    target: Any,
    before: Mapping[str, Any],
    leave_out: frozenset[str] = frozenset(),
) -> bool:
    """Write a versioned row as it has become since the snapshot `before`, with its next version, and one entry of what
    has changed; False, and nothing, where nothing has. Requires a transaction that holds the row."""
    old, new = difference(before, snapshot(target, leave_out=leave_out))
    if not new:
        return False
    target.version += 1
    target.updated_at = database_now()
    target.save(force_update=True)
    record(actor=actor, action=action, target=target, before=old, after=new)
    return True


def _origin(request: HttpRequest | None) -> dict[str, Any]:
    if request is None:
        return {}
    return {
        "request_id": request.META.get("ordinaut.request_id", ""),
        "address": request.META.get("REMOTE_ADDR") or None,
    }
