"""What a slot has to know before it starts a claimed run. Most of it is remembered from earlier runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from functools import cached_property
from typing import Any
from uuid import UUID

import structlog

from pipelines.document.nodes import NO_RETRY, RetryPolicy
from pipelines.engine.ports import StepEntry, StepState
from pipelines.engine.questions import ASKING_KINDS, NO_ANSWERS, Answers, Place
from pipelines.errors import ErrorClass, PipelineError
from pipelines.tools.base import Catalog
from workers import conf
from workers.claimed import ClaimedRun
from workers.columns import Uuids
from workers.connection import Database
from workers.encoding import decode
from workers.history import load_histories
from workers.recent import Recent
from workers.retries import parse_retry
from workers.revisions import Compiled, compile_revision, missing_revision
from workers.statements import ANSWERS, EVENTS, REVISIONS, TASK_FACTS

logger = structlog.get_logger(__name__)

_REMEMBERED_TASKS = 5000


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFacts:
    """What a run may know of its task, and how its failures are retried."""

    id: str
    title: str
    labels: Mapping[str, Any]
    retry: RetryPolicy


_NO_TASK = TaskFacts(id="", title="", labels={}, retry=NO_RETRY)


@dataclass(frozen=True)
class Brief:
    """A claimed run with all that its slot needs. `pipeline` is an error where there is nothing to run.

    `event` is what started the run, as its expressions see it; None where nothing did. `answers` are those that its
    questions had by its claim.
    """

    run: ClaimedRun
    task: TaskFacts
    pipeline: Compiled
    history: Sequence[StepEntry]
    event: Mapping[str, Any] | None = None
    answers: Answers = NO_ANSWERS

    @cached_property
    def run_text(self) -> str:
        return str(self.run.run_id)

    @property
    def task_text(self) -> str:
        return self.task.id


class Briefing:
    """Prepares claimed runs, with one query for each kind of thing that is not remembered."""

    def __init__(self, database: Database, *, catalog: Catalog) -> None:
        self._database = database
        self._catalog = catalog
        self._pipelines: Recent[UUID, Compiled] = Recent(conf.compiled_pipelines())
        self._generation = catalog.generation
        self._tasks: Recent[tuple[UUID, int], TaskFacts] = Recent(_REMEMBERED_TASKS)

    async def prepare(self, claimed: Sequence[ClaimedRun]) -> list[Brief]:
        """The briefs of the runs, in their order. Raises DatabaseUnavailable; a damaged row fails its own run."""
        pipelines = await self._compiled(claimed)
        tasks = await self._facts(claimed)
        events = await self._events(claimed)
        resumed = [run.run_id for run in claimed if run.may_have_history]
        histories, damaged = await load_histories(self._database, resumed) if resumed else ({}, {})
        answered = await self._answers(histories)
        briefs = []
        for run in claimed:
            pipeline = pipelines.get(run.revision_id) or missing_revision()
            if run.run_id in damaged:
                pipeline = PipelineError("journal_damaged", ErrorClass.INTERNAL, damaged[run.run_id])
            event = None if run.event_id is None else events.get(run.event_id)
            history = histories.get(run.run_id, ())
            answers = NO_ANSWERS
            if history:
                given, withdrawn = answered.get(run.run_id, ({}, set()))
                answers = Answers(given=given, withdrawn=frozenset(withdrawn), as_of=run.read_at)
            briefs.append(Brief(run, tasks.get(run.task_id, _NO_TASK), pipeline, history, event, answers))
        return briefs

    async def _answers(
        self, histories: Mapping[UUID, Sequence[StepEntry]]
    ) -> dict[UUID, tuple[dict[Place, Any], set[Place]]]:
        """What was answered to each run's questions, and which of them are withdrawn; no query where none are out."""
        asking = [run_id for run_id, entries in histories.items() if any(map(_asks, entries))]
        found: dict[UUID, tuple[dict[Place, Any], set[Place]]] = {}
        if not asking:
            return found
        for run_id, path, attempt, answer in await self._database.fetch(ANSWERS, {"run_ids": Uuids(asking)}):
            given, withdrawn = found.setdefault(run_id, ({}, set()))
            if answer is None:
                withdrawn.add((path, attempt))
            else:
                given[path, attempt] = decode(answer)
        return found

    async def _events(self, claimed: Sequence[ClaimedRun]) -> dict[UUID, Mapping[str, Any]]:
        """The events that started these runs; no query where none did."""
        wanted = {run.event_id for run in claimed if run.event_id is not None}
        if not wanted:
            return {}
        rows = await self._database.fetch(EVENTS, {"ids": Uuids(wanted)})
        return {
            event_id: {
                "id": str(event_id),
                "topic": topic,
                "payload": decode(payload),
                "at": at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
            }
            for event_id, topic, payload, at in rows
        }

    async def _compiled(self, claimed: Sequence[ClaimedRun]) -> dict[UUID | None, Compiled]:
        known: dict[UUID | None, Compiled] = {}
        self._heed_catalog()
        for revision_id in {run.revision_id for run in claimed if run.revision_id is not None}:
            if (remembered := self._pipelines.get(revision_id)) is not None:
                known[revision_id] = remembered
        missing = {run.revision_id for run in claimed} - known.keys() - {None}
        if missing:
            for revision_id, document in await self._database.fetch(REVISIONS, {"ids": Uuids(missing)}):
                compiled = compile_revision(document, catalog=self._catalog)
                self._pipelines.put(revision_id, compiled)
                known[revision_id] = compiled
        return known

    def _heed_catalog(self) -> None:
        """Forget what is compiled with tools as they are no more."""
        if self._generation != self._catalog.generation:
            self._generation = self._catalog.generation
            self._pipelines = Recent(conf.compiled_pipelines())

    async def _facts(self, claimed: Sequence[ClaimedRun]) -> dict[UUID, TaskFacts]:
        known: dict[UUID, TaskFacts] = {}
        missing: set[UUID] = set()
        for run in claimed:
            remembered = None if run.task_version is None else self._tasks.get((run.task_id, run.task_version))
            if remembered is None:
                missing.add(run.task_id)
            else:
                known[run.task_id] = remembered
        if missing:
            for task_id, version, title, labels, retry in await self._database.fetch(
                TASK_FACTS, {"ids": Uuids(missing)}
            ):
                facts = TaskFacts(id=str(task_id), title=title, labels=labels, retry=_policy(task_id, retry))
                self._tasks.put((task_id, version), facts)
                known[task_id] = facts
        return known


def _asks(entry: StepEntry) -> bool:
    return entry.state is StepState.STARTED and entry.kind in ASKING_KINDS


def _policy(task_id: UUID, retry: Any) -> RetryPolicy:
    try:
        return parse_retry(retry)
    except (ValueError, TypeError, AttributeError) as error:
        logger.warning("task.retry_is_damaged", task=str(task_id), detail=str(error), hint="Its runs are tried once.")
        return NO_RETRY
