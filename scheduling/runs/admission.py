"""How a run comes into being: the one way in for every start, whoever asks for it.

`admit` decides and writes in the caller's transaction:

1. Tasks whose overlap policy is not `allow` are locked in the order of their ids; only then are their live runs
   counted, in a statement of its own, so that the count sees what other starters committed before the lock was
   granted. In one statement the snapshot would precede the lock. The other tasks are locked FOR KEY SHARE, which an
   edit of their policy waits for (`scheduling.tasks.operations`), and nobody else.
2. A deduplication key takes its window; then the policy decides purely (`scheduling.core.planning.decide_overlap`).
3. Runs and due work are written by one statement; an occurrence that has its run already is left alone.

Due work that may not be claimed yet is born behind a gate (see `scheduling.runs.gates`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson

from scheduling.core.planning import OverlapDecision, decide_overlap
from scheduling.ids import new_id
from scheduling.runs import admission_statements as statements
from scheduling.runs.gates import release_gated
from scheduling.runs.keys import concurrency_key, rendered
from scheduling.runs.starts import Admitted, Start
from scheduling.runs.states import Gate, RunState, SkipReason, TriggerKind
from scheduling.tasks.models import LOWEST_PRIORITY, OverlapPolicy
from scheduling.wakeup import CANCEL_CHANNEL, DUE_CHANNEL, after_commit

# A task whose policy changes while its lock is waited for is in neither of the two reads, and is looked for again.
_LOOKS = 3

__all__ = ["Admitted", "Start", "admit", "lock_free_tasks", "lock_tasks"]


@dataclass(frozen=True, slots=True)
class _Facts:
    """A task as a start needs it, in the order of the columns of `statements.SHARE_OTHER_TASKS`."""

    id: UUID
    agent_id: UUID
    overlap: str
    revision_id: UUID
    params: bytes
    simulate: bool
    priority: int
    queue: str
    concurrency_key: str
    concurrency_limit: int | None
    rate_limit: int | None
    rate_period: timedelta | None
    dedupe_key: str
    dedupe_window: Any
    is_held_apart: bool  # it is paused, and what was queued before is not in the way of this start
    is_watched: bool


@dataclass(slots=True, eq=False)
class _Row:
    """One run to be written."""

    id: UUID
    start: Start
    facts: _Facts
    params: bytes | None
    gate: Gate | None = None
    concurrency_key: str | None = None
    skip_reason: str = ""
    duplicate_of: UUID | None = None
    waits_for_backfill: bool = False

    @property
    def is_exclusive(self) -> bool:
        """True where the run counts for the overlap policy of its task."""
        return self.facts.overlap != OverlapPolicy.ALLOW and not self.start.is_beside_others

    @property
    def priority(self) -> int:
        own = LOWEST_PRIORITY if self.start.is_backfilled else self.facts.priority
        return self.start.priority or own

    @property
    def is_of_schedule(self) -> bool:
        return self.start.trigger_kind == TriggerKind.SCHEDULE

    @property
    def is_check(self) -> bool:
        """True where the run only looks for a condition: keys of the task are not for it."""
        return self.start.trigger_kind == TriggerKind.CHECK

    @property
    def is_simulated(self) -> bool:
        return self.start.simulated or self.facts.simulate

    @property
    def shown_params(self) -> dict[str, Any]:
        return orjson.loads(self.params) if self.params else {}


@dataclass(slots=True)
class _RunsOfTask:
    """What is known of an exclusive task while the starts of a batch are decided on, one after the other.

    `decided` are those of this batch that start or wait, which the newest replaces under `cancel_running`;
    `is_canceled`: the runs that were there before it are ended or asked to stop; `live_backfilled` and
    `held_backfilled`: so many of them a backfill has led to.
    """

    live: int = 0
    held: int = 0
    live_backfilled: int = 0
    held_backfilled: int = 0
    is_canceled: bool = False
    decided: list[_Row] = field(default_factory=list)

    @property
    def has_own(self) -> bool:
        """Whether something is live or held that no backfill has led to."""
        return self.live > self.live_backfilled or self.held > self.held_backfilled


def admit(cursor: Any, starts: Sequence[Start]) -> list[Admitted]:
    """Start runs, or record that their policies skip them. Requires an open transaction; `cursor` is of it.

    Unknown task ids raise KeyError. After the commit it wakes the workers and, under `cancel_running`, those runs that
    are to stop.
    """
    if not starts:
        return []
    facts = _read_facts(cursor, {start.task_id for start in starts})
    drafts = [_draft(start, facts[start.task_id]) for start in starts]
    rows = _without_known(cursor, drafts)
    _skip_what_comes_late(cursor, rows)
    _skip_checks_that_overlap(cursor, rows)
    _apply_deduplication(cursor, rows)
    _apply_overlap(cursor, rows)
    _give_back_dedupe_keys(cursor, rows)
    _apply_concurrency(cursor, rows)
    written = _write(cursor, rows)
    held = [row for row in rows if row.gate is not None and not row.skip_reason]
    release_gated(
        cursor,
        task_ids={row.facts.id for row in held if row.gate is Gate.OVERLAP},
        keys={row.concurrency_key for row in held if row.concurrency_key is not None},
    )
    _hurry_backfills(cursor, held)
    for queue in {row.facts.queue for row in rows if row.gate is None and not row.skip_reason}:
        after_commit(DUE_CHANNEL, queue)
    return [
        Admitted(
            run_id=row.id if row.id in written else None,
            state=RunState.SKIPPED if row.skip_reason else RunState.QUEUED,
            skip_reason=row.skip_reason,
            duplicate_of=row.duplicate_of,
        )
        for row in drafts
    ]


def lock_tasks(cursor: Any, task_ids: Iterable[UUID]) -> None:
    """Take the locks that `admit` needs, for a caller that locks other rows after them. Requires a transaction."""
    _read_facts(cursor, set(task_ids))


def lock_free_tasks(cursor: Any, task_ids: Iterable[UUID]) -> frozenset[UUID]:
    """Take those of the locks that nobody else holds, without a wait; return the tasks that somebody holds.

    For a caller that can do without those, as the clock can: it looks again. Requires a transaction.
    """
    cursor.execute(statements.LOCK_FREE_TASKS, {"tasks": list(task_ids)})
    return frozenset(task_id for (task_id,) in cursor.fetchall())


def _read_facts(cursor: Any, task_ids: set[UUID]) -> dict[UUID, _Facts]:
    """Facts of the tasks that there are, each read under the lock that its policy asks for."""
    facts: dict[UUID, _Facts] = {}
    for _ in range(_LOOKS):
        for statement in (statements.SHARE_OTHER_TASKS, statements.LOCK_EXCLUSIVE_TASKS):
            if rest := task_ids - facts.keys():
                cursor.execute(statement, [sorted(rest)])
                facts.update({row[0]: _Facts(*row) for row in cursor.fetchall()})
    return facts


def _draft(start: Start, facts: _Facts) -> _Row:
    params = bytes(facts.params)
    if start.params:
        params = orjson.dumps({**orjson.loads(params), **start.params})
    return _Row(id=new_id(), start=start, facts=facts, params=params if params != b"{}" else None)


def _without_known(cursor: Any, rows: list[_Row]) -> list[_Row]:
    """Those whose occurrence has no run yet: of one that has, no policy may cancel, skip or take anything."""
    if not (asked := [(row.start.schedule_id, row.start.scheduled_for) for row in rows if row.is_of_schedule]):
        return rows
    cursor.execute(statements.KNOWN_OCCURRENCES, [list(column) for column in zip(*asked, strict=True)])
    known = set(cursor.fetchall())
    return [row for row in rows if (row.start.schedule_id, row.start.scheduled_for) not in known]


def _skip_what_comes_late(cursor: Any, rows: list[_Row]) -> None:
    """Under `cancel_running` an occurrence that comes late (after a lock, or a long queue) replaces no newer one."""
    late = [row for row in rows if row.facts.overlap == OverlapPolicy.CANCEL_RUNNING and row.is_of_schedule]
    if late:
        cursor.execute(statements.NEWEST_OCCURRENCES, [sorted({row.facts.id for row in late})])
        newest = dict(cursor.fetchall())
        for row in late:
            if row.facts.id in newest and row.start.scheduled_for < newest[row.facts.id]:
                row.skip_reason = SkipReason.OVERLAP


def _apply_overlap(cursor: Any, rows: list[_Row]) -> None:
    tasks = {row.facts.id: _RunsOfTask() for row in rows if row.is_exclusive}
    if not tasks:
        return
    cursor.execute(statements.LIVE_RUNS, [sorted(tasks)])
    for task_id, *known in cursor.fetchall():
        tasks[task_id] = _RunsOfTask(*known)
    if paused := sorted({row.facts.id for row in rows if row.is_exclusive and row.facts.is_held_apart}):
        cursor.execute(statements.HELD_BY_PAUSE, [paused])
        for task_id, count, backfilled in cursor.fetchall():
            tasks[task_id].held -= count
            tasks[task_id].held_backfilled -= backfilled
    for row in rows:
        if row.is_exclusive and not row.skip_reason:
            _decide(cursor, row, tasks[row.facts.id])


def _decide(cursor: Any, row: _Row, task: _RunsOfTask) -> None:
    """What a backfill leads to is in the way of a live start only while it is at work: what of it is held does not
    count for those, and it replaces none of them."""
    is_backfilled = not row.start.is_backfilled and 0 < task.live == task.live_backfilled
    held = task.held if row.start.is_backfilled else task.held - task.held_backfilled
    decision = decide_overlap(row.facts.overlap, live=task.live, held=held, is_backfilled=is_backfilled)
    if decision is OverlapDecision.CANCEL_AND_HOLD and row.start.is_backfilled and task.has_own:
        decision = OverlapDecision.HOLD
    match decision:
        case OverlapDecision.START:
            task.live += 1
            task.live_backfilled += row.start.is_backfilled
        case OverlapDecision.SKIP:
            row.skip_reason = SkipReason.OVERLAP
            return
        case OverlapDecision.HOLD:
            row.gate, row.waits_for_backfill = Gate.OVERLAP, is_backfilled
            task.held += 1
            task.held_backfilled += row.start.is_backfilled
        case OverlapDecision.CANCEL_AND_HOLD:
            if not task.is_canceled:
                _cancel_live_runs(cursor, row.facts.id)
                task.is_canceled = True
            for earlier in task.decided:
                earlier.skip_reason, earlier.gate = SkipReason.OVERLAP, None
            task.decided.clear()
            row.gate = Gate.OVERLAP
            task.held, task.held_backfilled = 1, int(row.start.is_backfilled)
    task.decided.append(row)


def _hurry_backfills(cursor: Any, held: Sequence[_Row]) -> None:
    """What a backfill has queued with the lowest priority gets that of the start which waits for it."""
    waiting = [row for row in held if row.waits_for_backfill]
    if waiting:
        cursor.execute(
            statements.HURRY_BACKFILLED,
            {
                "tasks": [row.facts.id for row in waiting],
                "priorities": [row.priority for row in waiting],
            },
        )


def _skip_checks_that_overlap(cursor: Any, rows: list[_Row]) -> None:
    """A condition is not looked at twice at once, neither beside its last check nor for two ticks of one pass."""
    checks = [row for row in rows if row.is_check]
    if not checks:
        return
    cursor.execute(statements.LIVE_CHECKS, [sorted({row.start.schedule_id for row in checks if row.start.schedule_id})])
    busy = {schedule_id for (schedule_id,) in cursor.fetchall()}
    for row in checks:
        if row.start.schedule_id in busy:
            row.skip_reason = SkipReason.OVERLAP
        elif row.start.schedule_id is not None:
            busy.add(row.start.schedule_id)


def _cancel_live_runs(cursor: Any, task_id: UUID) -> None:
    """End what no worker holds, and ask the rest to stop: in this order, so that a row on its way into a lease is
    seen by the second statement."""
    cursor.execute(statements.CANCEL_UNLEASED, {"task": task_id})
    cursor.execute(statements.REQUEST_CANCEL, {"task": task_id})
    for (run_id,) in cursor.fetchall():
        after_commit(CANCEL_CHANNEL, str(run_id))


def _apply_deduplication(cursor: Any, rows: list[_Row]) -> None:
    """A simulated run has done nothing that a real one would repeat: it takes no key, and none is in its way."""
    first: dict[tuple[UUID, str], _Row] = {}
    repeated: list[tuple[_Row, tuple[UUID, str]]] = []
    for row in rows:
        if not row.facts.dedupe_key or row.skip_reason or row.is_check or row.is_simulated:
            continue
        name = (row.facts.id, rendered(row.facts.dedupe_key, row.shown_params))
        if name in first:
            repeated.append((row, name))
        else:
            first[name] = row
    if not first:
        return
    cursor.execute(
        statements.TAKE_DEDUPE_KEYS,
        [
            [task_id for task_id, _ in first],
            [key for _, key in first],
            [row.id for row in first.values()],
            [row.facts.dedupe_window for row in first.values()],
        ],
    )
    taken = {run_id for (run_id,) in cursor.fetchall()}
    repeated.extend((row, name) for name, row in first.items() if row.id not in taken)
    if not repeated:
        return
    cursor.execute(
        statements.HOLDERS_OF_DEDUPE_KEYS, [[name[0] for _, name in repeated], [name[1] for _, name in repeated]]
    )
    holders = {(task_id, key): run_id for task_id, key, run_id in cursor.fetchall()}
    for row, name in repeated:
        row.skip_reason = SkipReason.DUPLICATE
        row.duplicate_of = holders[name]


def _give_back_dedupe_keys(cursor: Any, rows: list[_Row]) -> None:
    """A run that its overlap policy skips stands in for nobody. (Deduplication comes first, because the policy may
    cancel what runs, and a duplicate must not.)"""
    skipped = [row.id for row in rows if row.skip_reason == SkipReason.OVERLAP and row.facts.dedupe_key]
    if skipped:
        cursor.execute("DELETE FROM scheduling_dedupekey WHERE run_id = ANY(%s)", [skipped])


def _apply_concurrency(cursor: Any, rows: list[_Row]) -> None:
    limits: dict[str, tuple[int, int | None, timedelta | None]] = {}
    for row in rows:
        if not row.facts.concurrency_key or row.skip_reason or row.is_check:
            continue
        row.concurrency_key = concurrency_key(row.facts.agent_id, row.facts.concurrency_key, row.shown_params)
        row.gate = row.gate or Gate.KEY
        facts = row.facts
        limits[row.concurrency_key] = (facts.concurrency_limit or 1, facts.rate_limit, facts.rate_period)
    if limits:
        columns = [list(column) for column in zip(*limits.values(), strict=True)]
        cursor.execute(statements.KNOW_KEYS, [list(limits), *columns])


def _write(cursor: Any, rows: list[_Row]) -> set[UUID]:
    cursor.execute(
        statements.INSERT,
        [
            [row.id for row in rows],
            [row.facts.id for row in rows],
            [row.start.revision_id or row.facts.revision_id for row in rows],
            [row.facts.agent_id for row in rows],
            [row.start.schedule_id for row in rows],
            [str(row.start.trigger_kind) for row in rows],
            [row.start.scheduled_for for row in rows],
            [str(RunState.SKIPPED if row.skip_reason else RunState.QUEUED) for row in rows],
            [str(row.skip_reason) for row in rows],
            [row.params for row in rows],
            [row.is_simulated for row in rows],
            [row.start.parent_id for row in rows],
            [row.start.replay_of_id for row in rows],
            [row.start.triggered_by for row in rows],
            [row.facts.queue for row in rows],
            [row.priority for row in rows],
            [row.start.available_at for row in rows],
            [None if row.gate is None else str(row.gate) for row in rows],
            [row.is_exclusive for row in rows],
            [row.concurrency_key for row in rows],
            [row.facts.is_watched or row.is_check for row in rows],
            [row.start.event_id for row in rows],
            [row.start.backfill_id for row in rows],
            [row.start.is_backfilled for row in rows],
        ],
    )
    return {run_id for (run_id,) in cursor.fetchall()}
