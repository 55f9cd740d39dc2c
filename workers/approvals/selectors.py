"""Read approvals, and tell who may decide about them."""

from typing import Any

from django.db.models import Case, CharField, F, QuerySet, Value, When

from pipelines.engine.doubt import ABOUT_DOUBT
from scheduling.agents.models import Agent, Operator
from scheduling.agents.roles import Role, role_of
from scheduling.audit.models import ActorKind
from scheduling.audit.operations import Actor
from scheduling.runs.models import Run
from workers.models import Question

OPEN = "open"
STATES = (OPEN, *Question.Outcome.values)

# The word among an approval's roles that lets agents decide.
AGENTS = "agents"


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


def objection_to(actor: Actor, approval: Question, run: Run) -> str | None:
    """Why this actor may not decide, in words; None where they may. Reads the operator's groups.

    About a call in doubt whoever started the run may decide: that is no approval of what they do.
    """
    if run.triggered_by == str(actor) and approval.asks.get("about") != ABOUT_DOUBT:
        return "Nobody decides about a run that they have started."
    if actor.kind == ActorKind.AGENT and actor.id == str(run.agent_id):
        return "An agent does not decide about the runs of its own tasks."
    roles = approval.asks.get("roles") or []
    if not roles or _holds(actor, roles):
        return None
    return f"This needs one of the roles {', '.join(roles)}."


def _holds(actor: Actor, roles: list[str]) -> bool:
    if actor.kind != ActorKind.OPERATOR:
        return actor.kind == ActorKind.AGENT and AGENTS in roles
    operator = Operator.objects.prefetch_related("groups").get(pk=actor.id)
    held = {group.name for group in operator.groups.all()}
    if (highest := role_of(operator)) is not None:
        ranks = list(Role)
        below = ranks[: ranks.index(highest) + 1]
        held |= {role.value for role in below} | {f"{role.value}s" for role in below}
    return not held.isdisjoint(roles)
