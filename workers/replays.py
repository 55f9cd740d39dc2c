"""Do a run again from one of its steps: a new run that begins with what the old one has finished before it."""

from collections.abc import Callable, Iterator
from typing import Any

from django.db import connection, transaction

from pipelines.document import DocumentInvalid, compile_document
from pipelines.engine.ports import StepEntry, StepState
from pipelines.engine.replaying import CannotReplay, LastBodies, kept_paths
from pipelines.servers.offers import current_catalog
from scheduling.audit.operations import Actor, record
from scheduling.errors import Conflict, IllegalTransition, NotValid
from scheduling.runs.admission import Start, admit
from scheduling.runs.models import Run
from scheduling.runs.selectors import allowed_actions, with_due_work
from scheduling.runs.states import LIVE_STATES, RunState, TriggerKind
from scheduling.tasks.models import Task, TaskState
from scheduling.tasks.revisions import require_fitting_params
from workers.models import StepRun

_BATCH = 500
_COPIED = [field.name for field in StepRun._meta.concrete_fields if field.name not in ("id", "run")]


def may_be_replayed(run: Run) -> bool:
    """A check of a condition is no run of its task: as one, it would take the task's place and start its followers."""
    return RunState(run.state) not in LIVE_STATES and run.trigger_kind != TriggerKind.CHECK


@transaction.atomic
def replay_run(*, actor: Actor, run: Run, from_step: str = "", newest: bool = False) -> Run:
    """Start the task again with the params and the event of a run that has ended; from a step on, with the finished
    results of those before it. `newest`: on the newest revision, else on the run's own.

    Finished results are copied and nothing else. Overlap, limits and deduplication hold as for any start. NotValid for
    a step that cannot be begun from and for params that do not fit; IllegalTransition for a live run, a check of
    a condition and an archived task; Conflict where the document cannot be used on this host.
    """
    old = Run.objects.select_related("revision").get(pk=run.pk)
    if RunState(old.state) in LIVE_STATES:
        raise IllegalTransition("A run that has not ended cannot be replayed.", allowed_actions=allowed_actions(run))
    if old.trigger_kind == TriggerKind.CHECK:
        raise IllegalTransition(
            "A check of a condition is no run of the task, and is not replayed: the next tick looks again.",
            allowed_actions=allowed_actions(run),
        )
    task = Task.objects.select_related("current_revision").get(pk=old.task_id)
    if task.state == TaskState.ARCHIVED or task.current_revision is None:
        raise IllegalTransition("An archived task cannot run.", allowed_actions=())
    revision = task.current_revision if newest else old.revision
    require_fitting_params(revision.document, old.params or {})
    new_path = _new_paths(old, revision.document, from_step) if from_step else None
    start = Start(
        task_id=task.pk,
        trigger_kind=TriggerKind.REPLAY,
        params=old.params or {},
        simulated=old.simulated,
        revision_id=revision.pk,
        event_id=old.event_id,
        replay_of_id=old.pk,
        is_backfilled=old.is_backfilled,
        triggered_by=str(actor),
    )
    with connection.cursor() as cursor:
        (admitted,) = admit(cursor, [start])
    assert admitted.run_id is not None, "only an occurrence of a schedule can have its run already"
    made = with_due_work().get(pk=admitted.run_id)
    copied = 0 if new_path is None or made.state == RunState.SKIPPED else _copy(old, made, new_path)
    after = {"replay_of": str(old.pk), "from": from_step, "revision": revision.number, "steps_kept": copied}
    record(actor=actor, action="run.replay", target=made, after=after)
    return made


NewPath = Callable[[str], str | None]


def _new_paths(old: Run, document: Any, from_step: str) -> NewPath:
    """Where an entry of the old run stands in the new one, None where it does not."""
    try:
        before = compile_document(old.revision.document, catalog=current_catalog())
        is_kept = kept_paths(before, compile_document(document, catalog=current_catalog()), from_step)
    except CannotReplay as error:
        raise NotValid.at("/from", "unknown_step", f"{str(error)[:1].upper()}{str(error)[1:]}.", error.hint) from error
    except DocumentInvalid as error:
        raise Conflict(f"Its document cannot be used on this host: {error}") from error
    bodies = LastBodies(before, _outline(old))
    return lambda path: bodies.path(path) if is_kept(path) else None


def _outline(run: Run) -> Iterator[StepEntry]:
    """The journal of a run without what its steps were given and gave."""
    rows = StepRun.objects.filter(run_id=run.pk).order_by("pk")
    for path, kind, state, attempt, run_attempt in rows.values_list("path", "kind", "state", "attempt", "run_attempt"):
        yield StepEntry(path=path, kind=kind, state=StepState(state), attempt=attempt, run_attempt=run_attempt)


def _copy(old: Run, made: Run, new_path: NewPath) -> int:
    """The finished entries, as they are, under their paths in the new run; how many."""
    finished: list[StepRun] = []
    for step in StepRun.objects.filter(run_id=old.pk).order_by("pk").iterator():
        if step.state not in (StepState.SUCCEEDED, StepState.SKIPPED) and not step.is_tolerated:
            continue
        path = new_path(step.path)
        if path is not None:
            values = {name: getattr(step, name) for name in _COPIED}
            finished.append(StepRun(run_id=made.pk, **{**values, "path": path, "run_attempt": 1}))
    StepRun.objects.bulk_create(finished, batch_size=_BATCH)
    return len(finished)
