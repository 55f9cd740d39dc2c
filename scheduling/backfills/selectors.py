"""Read backfills, and which occurrences of a schedule have run."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce

from scheduling.agents.models import Agent
from scheduling.backfills.models import Backfill, BackfillState
from scheduling.runs.models import Run
from scheduling.runs.selectors import with_due_work
from scheduling.runs.states import RunState, TriggerKind
from scheduling.tasks.models import TaskState

# An occurrence whose only run is one of these did not run; a failed one did, and is retried, not backfilled.
_DID_NOT_RUN = (RunState.SKIPPED, RunState.MISSED, RunState.CANCELED)
_LIVE = (RunState.QUEUED, RunState.WAITING)  # by their rows: what runs is one of these there


def visible_backfills(agent: Agent | None) -> QuerySet[Backfill]:
    """The backfills of the agent's tasks, each with its `live_count`; everybody's for None."""
    live = Run.objects.filter(backfill=OuterRef("pk"), state__in=_LIVE).order_by().values("backfill")
    live_count = Coalesce(Subquery(live.annotate(count=Count("pk")).values("count")), 0)
    backfills = Backfill.objects.select_related("schedule__task").annotate(live_count=live_count)
    return backfills if agent is None else backfills.filter(schedule__task__agent=agent)


def live_runs(backfill: Backfill) -> QuerySet[Run]:
    """Its runs that have not ended. Index: run_backfill_live_idx."""
    return with_due_work().filter(backfill=backfill, state__in=_LIVE)


def have_run(schedule_id: UUID, occurrences: Sequence[datetime]) -> set[datetime]:
    """Those of the occurrences (ascending) that ran, live or in a backfill, whatever came of it.

    Skipped, missed and canceled ones did not. Indexes: run_occurrence_unique, run_backfilled_unique.
    """
    if not occurrences:
        return set()
    span = Run.objects.filter(scheduled_for__range=(occurrences[0], occurrences[-1])).exclude(state__in=_DID_NOT_RUN)
    live = span.filter(schedule_id=schedule_id, trigger_kind=TriggerKind.SCHEDULE)
    backfills = list(Backfill.objects.filter(schedule_id=schedule_id).values_list("pk", flat=True))
    backfilled = span.filter(backfill__isnull=False, backfill_id__in=backfills)
    ran = {instant for runs in (live, backfilled) for instant in runs.values_list("scheduled_for", flat=True)}
    return {each for each in occurrences if each in ran}


def waits_for(backfill: Backfill) -> str:
    """Why a running backfill starts nothing for now: `task_paused`, or empty. (Its own runs are its `live_count`.)"""
    if backfill.state != BackfillState.RUNNING:
        return ""
    return "task_paused" if backfill.schedule.task.state == TaskState.PAUSED else ""


def allowed_actions(backfill: Backfill) -> tuple[str, ...]:
    """What may be done with it in its present state. (Canceling again reaches the runs that went on.)"""
    return ("cancel",) if backfill.state in (BackfillState.RUNNING, BackfillState.CANCELED) else ()
