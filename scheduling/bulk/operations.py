"""Preview, make, carry on and cancel bulk operations. What people do is one transaction and one audit entry."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog
from django.db import connection, transaction

from scheduling.agents.models import Agent
from scheduling.audit.operations import Actor, record, record_each
from scheduling.bulk.definition import RedriveFilter
from scheduling.bulk.models import BulkOperation, BulkState
from scheduling.bulk.selectors import allowed_actions, failed_runs
from scheduling.clock.faults import fault_of
from scheduling.definitions.json_values import require_storable
from scheduling.definitions.strict import parse
from scheduling.errors import Conflict, IllegalTransition, NotValid
from scheduling.housekeeping import alone
from scheduling.instants import database_now
from scheduling.runs.models import Run
from scheduling.runs.redriving import before_retry, redrive
from scheduling.runs.states import RunState

logger = structlog.get_logger(__name__)

BATCH = 200
BATCHES_A_TURN = 10
MOST = 100_000  # runs of one operation
SAMPLE = 10
_MAY_DIFFER = 0.1


class CountDiffers(Conflict):
    """Another number of runs matches than the preview said."""

    code = "count_differs"


@dataclass(frozen=True, slots=True, kw_only=True)
class RedrivePreview:
    """How many runs a redrive would take, how many of them are simulated, and the oldest. `is_more`: there are more
    than one may take."""

    count: int
    simulated_count: int
    is_more: bool
    sample: Sequence[Run]


def preview_redrive(*, agent: Agent | None, given: Mapping[str, Any]) -> RedrivePreview:
    """Count; nothing is written. `agent` None: runs of all agents. NotValid with pointers into the filter."""
    return _counted(agent, parse(RedriveFilter, given), until=database_now())


@transaction.atomic
def create_redrive(
    *, actor: Actor, agent: Agent | None, given: Mapping[str, Any], expected_count: int | None
) -> BulkOperation:
    """Have the clock redrive all failed runs that match, the oldest first, each once.

    CountDiffers where the number is off from what was previewed by more than a tenth; NotValid where nothing matches.
    """
    now = database_now()
    counted = _counted(agent, parse(RedriveFilter, given), until=now)
    if expected_count is None:
        hint = "Ask with dry_run first and send its count."
        raise NotValid.at("/expected_count", "required", "A redrive needs the count that was previewed.", hint)
    if abs(counted.count - expected_count) > _MAY_DIFFER * expected_count:
        raise CountDiffers(
            f"{counted.count} runs match now, {expected_count} were expected.",
            hint="Preview again, and look at what has changed.",
            allowed_actions=(),
        )
    if not counted.count:
        raise NotValid.at("/filter", "nothing_matches", "No failed run matches.", "Widen the filter.")
    operation = BulkOperation.objects.create(
        agent=agent, filter=dict(given), total_count=counted.count, created_by=str(actor), created_at=now
    )
    after = {"kind": operation.kind, "filter": operation.filter, "count": counted.count}
    record(actor=actor, action="bulk_operation.create", target=operation, after=after)
    return operation


@transaction.atomic
def cancel_operation(*, actor: Actor, operation: BulkOperation, reason: str = "") -> BulkOperation:
    """Take no further batch; what is done stays done. IllegalTransition where it has ended."""
    require_storable(reason=reason)
    held = BulkOperation.objects.select_for_update(no_key=True).get(pk=operation.pk)
    if not allowed_actions(held):
        raise IllegalTransition(f"An operation that is {held.state} cannot be canceled.", allowed_actions=())
    _end(held, BulkState.CANCELED, reason[:500], database_now())
    after = {"reason": held.state_reason, "done": held.done_count}
    record(actor=actor, action="bulk_operation.cancel", target=held, after=after)
    return held


def carry_on() -> int:
    """Some batches of the operations that run, the oldest first; return how many runs were dealt with.

    Safe in every clock at once, and after a crash: each batch is a transaction of its own.
    """
    dealt = 0
    for _ in range(BATCHES_A_TURN):
        operation = BulkOperation.objects.filter(state=BulkState.RUNNING).order_by("pk").first()
        if operation is None:
            break
        try:
            with alone("bulk_operations") as is_alone:
                if not is_alone:
                    break
                dealt += _batch(operation.pk)
        except Exception as error:
            fault = fault_of(error)
            if fault.is_everywhere or fault.is_contention:
                raise
            logger.exception("bulk_operation.failed", operation=str(operation.pk))
            _fail(operation.pk, error)
    return dealt


def _batch(pk: UUID) -> int:
    """One batch and the cursor behind it, in the open transaction."""
    operation = BulkOperation.objects.select_for_update(no_key=True).get(pk=pk)
    if operation.state != BulkState.RUNNING:
        return 0
    now = database_now()
    dealt = operation.done_count + operation.skipped_count
    size = min(BATCH, MOST - dealt)
    runs = failed_runs(
        parse(RedriveFilter, operation.filter), agent_id=operation.agent_id, until=operation.created_at
    ).order_by("pk")
    if operation.cursor is not None:
        runs = runs.filter(pk__gt=operation.cursor)
    chosen = list(runs.select_related("backfill")[:size]) if size else []
    with connection.cursor() as cursor:
        done = redrive(cursor, chosen, now=now, failed_before=operation.created_at)
    record_each(
        actor=Actor.system("bulk operation"),
        action="run.retry",
        targets=[(run, before_retry(run)) for run in chosen if run.pk in done],
        after={"state": RunState.QUEUED.value, "operation": str(pk), "asked_by": operation.created_by},
    )
    operation.done_count += len(done)
    operation.skipped_count += len(chosen) - len(done)
    if chosen:
        operation.cursor = chosen[-1].pk
    operation.save(update_fields=["done_count", "skipped_count", "cursor"])
    if len(chosen) < BATCH:
        _end(operation, BulkState.FINISHED, "", now)
    return len(chosen)


def _end(operation: BulkOperation, state: BulkState, reason: str, now: datetime) -> None:
    operation.state, operation.state_reason, operation.finished_at = state, reason, now
    operation.save(update_fields=["state", "state_reason", "finished_at"])


@transaction.atomic
def _fail(pk: UUID, error: Exception) -> None:
    held = BulkOperation.objects.select_for_update(no_key=True).get(pk=pk)
    if held.state == BulkState.RUNNING:
        _end(held, BulkState.FAILED, f"{type(error).__name__}: {error}"[:500], database_now())


def _counted(agent: Agent | None, chosen: Mapping[str, Any], *, until: datetime) -> RedrivePreview:
    runs = failed_runs(chosen, agent_id=None if agent is None else agent.pk, until=until)
    # The oldest, which are those that it takes.
    taken = Run.objects.filter(pk__in=runs.order_by("pk").values("pk")[:MOST])
    count = runs.order_by()[: MOST + 1].count()
    simulated_count = taken.filter(simulated=True).count() if count else 0
    sample = list(runs.select_related("task").defer("params", "output").order_by("pk")[:SAMPLE])
    return RedrivePreview(count=min(count, MOST), simulated_count=simulated_count, is_more=count > MOST, sample=sample)
