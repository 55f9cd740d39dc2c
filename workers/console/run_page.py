"""What the page of a run shows: what happened and why. At most twelve statements, whatever the
number of steps."""

from datetime import datetime, timedelta
from typing import Any

from django.db.models import QuerySet

from scheduling.audit.models import AuditEntry
from scheduling.console.listing import audit_url, list_url
from scheduling.runs.models import Run
from scheduling.runs.selectors import attempt_of, due_work_of, effective_state, started_at_of
from workers.console.timeline import SCALE, timeline
from workers.explain import explain
from workers.models import Question, StepRun, Wait, Worker

_STEPS_SHOWN = 200
_AUDIT_SHOWN = 20


def run_page(run: Run, *, now: datetime) -> dict[str, Any]:
    """The page's context. `run` comes with its task, revision, schedule and due work."""
    steps = list(_steps_of(run)[: _STEPS_SHOWN + 1])
    started_at = started_at_of(run)
    work = due_work_of(run)
    return {
        "run": run,
        "state": effective_state(run),
        "attempt": attempt_of(run),
        "started_at": started_at,
        "lateness": _lateness(run, started_at),
        "took": (run.finished_at or now) - started_at if started_at else None,
        "work": work,
        "worker": Worker.objects.filter(pk=work.lease_owner).first() if work and work.lease_owner else None,
        "explanation": explain(run, now=now),
        "error": _error_of(run),
        "lines": timeline(steps[:_STEPS_SHOWN], started_at=started_at, now=now),
        "scale": SCALE,
        "has_more_steps": len(steps) > _STEPS_SHOWN,
        "steps_url": list_url(StepRun, run_id=run.pk),
        "children_url": list_url(Run, parent_id=run.pk) if any(step.kind == "run" for step in steps) else "",
        "questions": Question.objects.filter(run_id=run.pk, closed_at=None).order_by("pk"),
        # One that is held has forgotten its timers.
        "waits": [] if work is None or work.lease_owner else Wait.objects.filter(run_id=run.pk).order_by("id"),
        "audit": _audit_of(run),
        "audit_url": audit_url(Run, run.pk),
    }


def _steps_of(run: Run) -> QuerySet[StepRun]:
    return StepRun.objects.filter(run_id=run.pk).order_by("started_at", "id")


def _audit_of(run: Run) -> QuerySet[AuditEntry]:
    return AuditEntry.objects.filter(object_kind="run", object_id=str(run.pk)).order_by("-id")[:_AUDIT_SHOWN]


def _lateness(run: Run, started_at: datetime | None) -> timedelta | None:
    """How long after its occurrence the run began, None for a run that no schedule asked for."""
    return started_at - run.scheduled_for if started_at and run.scheduled_for else None


def _error_of(run: Run) -> dict[str, Any]:
    """The error's parts that have a place of their own, and the rest as it is."""
    if not isinstance(run.error, dict):
        return {} if run.error is None else {"detail": str(run.error)}
    told = {
        name: run.error[name] for name in ("code", "class", "detail", "hint", "step", "pointer") if name in run.error
    }
    return {**{("kind" if name == "class" else name): value for name, value in told.items()}, "whole": run.error}
