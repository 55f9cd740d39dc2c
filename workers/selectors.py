"""Reading what runs have done, and what workers do."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from scheduling.agents.models import Agent
from scheduling.runs.models import DueWork
from scheduling.runs.selectors import with_simulated
from workers.doing import heard
from workers.encoding import decode
from workers.models import LIVE_WORKER_STATES, Artifact, StepRun, Worker


@dataclass(frozen=True, slots=True)
class CurrentRun:
    """A run that a worker holds. `step` is the call that was open there at its last beat, None between calls."""

    run_id: UUID
    task_id: UUID
    task_title: str
    simulated: bool
    since: datetime
    step: str | None
    step_since: datetime | None


def steps_of(run_id: UUID) -> QuerySet[StepRun]:
    """The journal of a run in the order in which its entries were written, one an attempt of a step."""
    return StepRun.objects.filter(run_id=run_id).order_by("pk")


def result_of(step: StepRun) -> Any:
    """The whole result of an attempt, also where it is kept apart as an artifact. Raises Artifact.DoesNotExist."""
    if not step.output_artifact:
        return step.output
    return decode(bytes(Artifact.objects.get(digest=step.output_artifact).content))


def current_runs(workers: Iterable[Worker], *, agent: Agent | None = None) -> dict[UUID, list[CurrentRun]]:
    """What each of the workers holds, the longest first; of this agent alone where one is given. One query, by ids.

    At most forty of each, as of its last beat; what it has lost or finished since is left out.
    """
    told = {worker.pk: heard(worker.doing) for worker in workers}
    wanted = [run_id for doings in told.values() for run_id in doings]
    found: dict[UUID, list[CurrentRun]] = {owner: [] for owner in told}
    if not wanted:
        return found
    held = with_simulated(DueWork.objects.filter(pk__in=wanted, lease_owner__in=list(told))).select_related("task")
    if agent is not None:
        held = held.filter(task__agent=agent)
    for work in held.order_by("claimed_at", "pk"):
        assert work.lease_owner is not None
        assert work.claimed_at is not None
        doing = told[work.lease_owner].get(work.pk)
        found[work.lease_owner].append(
            CurrentRun(
                run_id=work.pk,
                task_id=work.task_id,
                task_title=work.task.title,
                simulated=work.simulated,
                since=work.claimed_at,
                step=None if doing is None else doing.step,
                step_since=None if doing is None else doing.step_since,
            )
        )
    return found


def worker_actions(worker: Worker) -> tuple[str, ...]:
    """What may be asked of it now."""
    return ("drain",) if worker.state in LIVE_WORKER_STATES and worker.drain_requested_at is None else ()
