"""Read runs as they are. A claim does not write the run's row, so what runs now is read from its due work."""

from datetime import datetime
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet

from scheduling.agents.models import Agent
from scheduling.runs.models import DueWork, Run
from scheduling.runs.states import RunState
from scheduling.tasks.models import TaskState


def with_due_work() -> QuerySet[Run]:
    """Runs, each with its due work in the same query (none once it has ended)."""
    return Run.objects.select_related("due_work")


def visible_runs(agent: Agent | None) -> QuerySet[Run]:
    """The runs of the agent's tasks; None: everybody's."""
    runs = with_due_work()
    return runs if agent is None else runs.filter(agent=agent)


def with_simulated(rows: QuerySet[Any]) -> QuerySet[Any]:
    """Rows that name a run by `run_id`, each with `simulated`: whether that run is. Not one of a run that is gone."""
    marked: QuerySet[Any] = rows.annotate(simulated=Exists(Run.objects.filter(pk=OuterRef("run_id"), simulated=True)))
    return marked


def in_state(runs: QuerySet[Run], state: RunState) -> QuerySet[Run]:
    """Those whose effective state is this."""
    if state == RunState.RUNNING:
        return runs.filter(due_work__lease_owner__isnull=False)
    if state in (RunState.QUEUED, RunState.WAITING):
        return runs.filter(Q(due_work__lease_owner=None), state=state)
    return runs.filter(state=state)


def due_work_of(run: Run) -> DueWork | None:
    """The run's due work, None when it has ended. Read with `with_due_work`, it costs no query."""
    return getattr(run, "due_work", None)


def effective_state(run: Run) -> RunState:
    """What the run does now: `running` while a worker holds it, else what its row says."""
    work = due_work_of(run)
    if work is not None and work.lease_owner is not None:
        return RunState.RUNNING
    return RunState(run.state)


def attempt_of(run: Run) -> int:
    work = due_work_of(run)
    return run.attempt if work is None else work.attempt


def started_at_of(run: Run) -> datetime | None:
    work = due_work_of(run)
    return run.started_at if work is None or work.started_at is None else work.started_at


def allowed_actions(run: Run) -> tuple[str, ...]:
    """What may be done with it now. Reads the task of a failed run: an archived task's runs stay as they are."""
    state = effective_state(run)
    if state == RunState.QUEUED:
        return ("cancel", "snooze")
    if state in (RunState.RUNNING, RunState.WAITING):
        return ("cancel",)
    if state == RunState.FAILED and run.task.state != TaskState.ARCHIVED:
        return ("retry",)
    return ()
