"""Read approvals, and tell who may decide about them."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from django.db.models import Case, CharField, F, QuerySet, Value, When

from pipelines.engine.doubt import ABOUT_DOUBT
from scheduling.agents.models import Agent, Operator
from scheduling.agents.roles import AGENTS, Role, role_of, words_of
from scheduling.audit.models import ActorKind
from scheduling.audit.operations import Actor
from scheduling.runs.models import Run
from workers.models import Question

OPEN = "open"
STATES = (OPEN, *Question.Outcome.values)


def approvals() -> QuerySet[Question]:
    """All, each `now_is` what `state_of` reads. One whose run has ended unnoticed is withdrawn."""
    now_is = Case(
        When(outcome="", run__due_work__isnull=True, then=Value(Question.Outcome.WITHDRAWN.value)),
        When(outcome="", then=Value(OPEN)),
        default=F("outcome"),
        output_field=CharField(),
    )
    return Question.objects.filter(kind=Question.Kind.APPROVAL).select_related("run__task").annotate(now_is=now_is)


def state_of(approval: Question) -> str:
    """`open`, or its outcome, as of its reading."""
    return str(getattr(approval, "now_is"))  # noqa: B009 - annotated


def in_state(rows: QuerySet[Question], state: str) -> QuerySet[Question]:
    """Those of `approvals` that stand so. Index: question_open_idx for the open ones."""
    chosen: dict[str, Any] = {"now_is": state, **({"closed_at": None} if state == OPEN else {})}
    return rows.filter(**chosen)


def visible_approvals(agent: Agent | None) -> QuerySet[Question]:
    """Those of the agent's tasks; everybody's for None."""
    return approvals() if agent is None else approvals().filter(run__agent=agent)


@dataclass
class Decider:
    """Somebody who asks which approvals they may decide. `may_decide_any`: their scope or permission allows it at all;
    `now` is the database's. The roles are read once, however many approvals are judged."""

    actor: Actor
    may_decide_any: bool
    now: datetime

    @cached_property
    def roles(self) -> Collection[str]:
        return roles_of(self.actor)

    def actions(self, approval: Question) -> list[str]:
        """What this actor may do to it now."""
        is_late = approval.until is not None and self.now >= approval.until
        if not self.may_decide_any or state_of(approval) != OPEN or is_late:
            return []
        return ["approve", "reject"] if _objection(self.actor, approval, approval.run, self.roles) is None else []


def objection_to(actor: Actor, approval: Question, run: Run) -> str | None:
    """Why this actor may not decide, in words; None where they may. Reads the operator's groups.

    About a call in doubt whoever started the run may decide: that is no approval of what they do.
    """
    return _objection(actor, approval, run, roles_of(actor))


def _objection(actor: Actor, approval: Question, run: Run, held: Collection[str]) -> str | None:
    if run.triggered_by == str(actor) and approval.asks.get("about") != ABOUT_DOUBT:
        return "Nobody decides about a run that they have started."
    if actor.kind == ActorKind.AGENT and actor.id == str(run.agent_id):
        return "An agent does not decide about the runs of its own tasks."
    roles = approval.asks.get("roles") or []
    if not roles or not set(roles).isdisjoint(held):
        return None
    return f"This needs one of the roles {', '.join(roles)}."


def roles_of(actor: Actor) -> Collection[str]:
    """The words among an approval's roles that this actor answers to. Reads the operator's groups."""
    if actor.kind == ActorKind.AGENT:
        return {AGENTS}
    if actor.kind != ActorKind.OPERATOR:
        return ()
    operator = Operator.objects.prefetch_related("groups").get(pk=actor.id)
    held = {group.name for group in operator.groups.all()}
    if (highest := role_of(operator)) is not None:
        ranks = list(Role)
        for role in ranks[: ranks.index(highest) + 1]:
            held |= words_of(role)
    return held
