"""Read bulk operations, and the failed runs that a filter chooses."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import F, Func, QuerySet, TextField, Value
from django.db.models.functions import Coalesce, NullIf

from scheduling.agents.models import Agent
from scheduling.bulk.models import BulkOperation, BulkState
from scheduling.runs.models import Run
from scheduling.runs.states import RunState
from scheduling.tasks.models import TaskState


class ErrorCode(Func):
    """The code in a run's error, which is kept as the bytes of its JSON text."""

    template = "convert_from(%(expressions)s, 'UTF8')::jsonb ->> 'code'"
    output_field = TextField()


_CODE = Coalesce(NullIf(ErrorCode(F("error")), Value("")), F("cause"), output_field=TextField())


def visible_operations(agent: Agent | None) -> QuerySet[BulkOperation]:
    return BulkOperation.objects.all() if agent is None else BulkOperation.objects.filter(agent=agent)


def failed_runs(chosen: Mapping[str, Any], *, agent_id: UUID | None, until: datetime) -> QuerySet[Run]:
    """Failed runs that match, of tasks that are not archived, as failed before `until`. Index: run_dead_idx.

    `chosen` is a validated filter, instants as such.
    """
    runs = Run.objects.filter(state=RunState.FAILED, finished_at__lt=until).exclude(task__state=TaskState.ARCHIVED)
    columns = {"task": "task_id", "queue": "task__queue", "cause": "cause", "simulated": "simulated", "runs": "pk__in"}
    runs = runs.filter(**{column: chosen[name] for name, column in columns.items() if name in chosen})
    if agent_id is not None:
        runs = runs.filter(agent_id=agent_id)
    if "failed_after" in chosen:
        runs = runs.filter(finished_at__gte=chosen["failed_after"])
    if "failed_before" in chosen:
        runs = runs.filter(finished_at__lt=chosen["failed_before"])
    if "code" in chosen:
        runs = runs.annotate(error_code=_CODE).filter(error_code=chosen["code"])
    return runs


def allowed_actions(operation: BulkOperation) -> tuple[str, ...]:
    return ("cancel",) if operation.state == BulkState.RUNNING else ()
