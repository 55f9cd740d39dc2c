"""Where a run stands, as the database says: what `workers.explain` puts into words. At most 14 queries for any run.

Every statement is bounded by an index and a limit, so that a million rows ahead of a run cost no more than a thousand.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Exists, OuterRef, Q

from scheduling.audit.models import AuditEntry
from scheduling.instants import database_now
from scheduling.queues.models import Queue
from scheduling.queues.selectors import bucket_wait, control_of
from scheduling.runs.models import ConcurrencyKey, DueWork, Run
from scheduling.runs.selectors import due_work_of
from scheduling.runs.states import Gate, RunState
from scheduling.tasks.models import LOWEST_PRIORITY
from workers.claimed import PRIORITY_STEP
from workers.doing import heard
from workers.exits import is_of_hosts_end
from workers.models import Question, StepRun, Wait, Worker, WorkerState

COUNTED = 1000  # further rows are "at least a thousand"
_NAMED = 5
_WORKERS_READ = 500
_REPLACED_WITHIN = timedelta(minutes=2)  # the longest pause of a host between two starts, and its own slow one

# How many due runs come before a place in the claim's order, one probe a priority; no further than a limit.
_AHEAD = """
SELECT count(*) FROM (
    SELECT FROM generate_series(1, 9) AS level (priority)
    CROSS JOIN LATERAL (
        SELECT FROM scheduling_duework work
        WHERE {among} AND work.priority = level.priority
          AND work.available_at <= now()
          AND (work.available_at, work.run_id)
              < (%(place)s::timestamptz - level.priority * interval '60 seconds', %(run)s::uuid)
        LIMIT %(most)s
    ) AS due
    LIMIT %(most)s
) AS ahead
"""
_CLAIMABLE = "work.queue = %(queue)s AND work.lease_owner IS NULL AND work.gate IS NULL"

# Purpose: among the claimable runs of a queue. Index: due_work_claim_idx. Locks: none.
_AHEAD_IN_QUEUE = _AHEAD.format(among=f"{_CLAIMABLE} AND work.agent_id IS NULL")

# Purpose: among those of one agent in a fair queue. Index: due_work_fair_idx. Locks: none.
_AHEAD_OF_AGENT = _AHEAD.format(among=f"{_CLAIMABLE} AND work.agent_id = %(agent)s")

# Purpose: among those that wait for one key. Index: due_work_key_waiting_idx. Locks: none.
_AHEAD_FOR_KEY = _AHEAD.format(among="work.gate = 'key' AND work.concurrency_key = %(key)s")

# Purpose: who holds a key. Index: due_work_key_held_idx. Locks: none.
_HOLDERS_OF_KEY = """
SELECT run_id FROM scheduling_duework
WHERE concurrency_key = %(key)s AND (gate IS NULL OR gate = 'suspect')
LIMIT %(most)s
"""

# Purpose: which live runs of an exclusive task the held ones wait for. Index: due_work_exclusive_idx. Locks: none.
_LIVE_OF_TASK = """
SELECT run_id FROM scheduling_duework
WHERE is_exclusive AND task_id = %(task)s AND gate IS DISTINCT FROM 'overlap'
LIMIT %(most)s
"""

# Purpose: how many held runs of the task come first. Index: due_work_exclusive_idx. Locks: none.
_HELD_BEFORE = """
SELECT count(*) FROM (
    SELECT FROM scheduling_duework
    WHERE is_exclusive AND task_id = %(task)s AND gate = 'overlap'
      AND (available_at, run_id) < (%(available_at)s::timestamptz, %(run)s::uuid)
    LIMIT %(most)s
) AS ahead
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line in which the run stands: those that are in (the first few, by id), the room, and how many are ahead.

    `is_at_least`: the counting was stopped.
    """

    holders: Sequence[UUID] = ()
    limit: int = 1
    ahead: int = 0

    @property
    def is_full(self) -> bool:
        return len(self.holders) >= min(self.limit, COUNTED)

    @property
    def is_at_least(self) -> bool:
        return self.ahead >= COUNTED

    @property
    def ahead_words(self) -> str:
        return f"at least {COUNTED}" if self.is_at_least else str(self.ahead)


@dataclass(slots=True, kw_only=True)
class Standing:
    """What is known of a run at `now`. Of an ended run there is no `work`, and nothing else is looked up."""

    run: Run
    now: datetime
    work: DueWork | None = None
    holder: Worker | None = None
    open_steps: Sequence[StepRun] = ()
    waits: Sequence[Wait] = ()  # those that are not over
    questions: Sequence[Question] = ()  # those that nobody has answered yet
    failed_tries: Mapping[str, StepRun] = field(default_factory=dict)  # by path: the last try of a step that waits
    workers: Sequence[Worker] = ()
    last_ended: Worker | None = None  # where nobody listens: the process that its host is about to replace, if any
    overlap: Line = field(default_factory=Line)
    key: Line = field(default_factory=Line)
    queue_ahead: Line = field(default_factory=Line)
    queue: Queue | None = None
    lowest_held: Mapping[UUID, int] = field(default_factory=dict)  # by process: its runs of the lowest priority
    queue_wait: float | None = None  # seconds until the queue's rate allows the next start
    key_wait: float | None = None  # and the rate of its key
    snooze: AuditEntry | None = None

    @property
    def listening(self) -> list[Worker]:
        """The living workers of its queue that still claim."""
        return [worker for worker in self.of_queue if worker.state == WorkerState.RUNNING and not _drains(worker)]

    @property
    def of_queue(self) -> list[Worker]:
        return [worker for worker in self.workers if self.work is not None and self.work.queue in worker.queues]


def standing_of(run: Run, *, now: datetime | None = None) -> Standing:
    """Look it up. `run` comes with its task and its due work (`with_due_work().select_related("task")`)."""
    found = Standing(run=run, now=now or database_now(), work=due_work_of(run))
    work = found.work
    if work is None:
        return found
    if work.lease_owner is not None:
        found.holder = Worker.objects.filter(pk=work.lease_owner).first()
        found.open_steps = list(
            StepRun.objects.filter(run_id=run.pk, state="started", kind="tool").order_by("pk")[:_NAMED]
        )
        return found
    found.queue = control_of(work.queue)
    if found.queue.rate_limit is not None:
        found.queue_wait = bucket_wait(f"queue:{work.queue}")
    if work.gate == Gate.KEY:
        found.key_wait = bucket_wait(f"key:{work.concurrency_key}")
    found.workers = list(Worker.objects.live().order_by("started_at", "pk")[:_WORKERS_READ])
    found.last_ended = None if found.listening else _last_ended(work.queue, found.now)
    if run.state == RunState.WAITING:
        unfinished = Q(wake_at=None) | Q(wake_at__gt=found.now)
        found.waits = list(Wait.objects.filter(unfinished, run_id=run.pk).order_by("pk")[:_NAMED])
        unanswered = Question.objects.filter(run_id=run.pk, closed_at=None, answer=None)
        found.questions = list(unanswered.order_by("pk")[:_NAMED])
        found.failed_tries = _failed_tries(run, [wait.path for wait in found.waits if wait.kind == Wait.Kind.TIMER])
    if work.gate == Gate.OVERLAP:
        found.overlap = _overlap_line(work)
    elif work.gate == Gate.KEY:
        found.key = _key_line(work)
    if work.available_at > found.now:
        found.snooze = _snooze_of(run)
    elif work.gate is None:
        found.lowest_held = _lowest_held(found.listening) if work.priority == LOWEST_PRIORITY else {}
        found.queue_ahead = Line(ahead=_ahead_in_queue(work))
    return found


def _last_ended(queue: str, now: datetime) -> Worker | None:
    """The last process of the queue that has died a short while ago and that nobody wanted to go: where its host is
    there, another one follows. Index: worker_drains_host_idx; for the rest none, the table has a row a process."""
    draining = Worker.objects.filter(supervisor_id=OuterRef("supervisor_id"), drains_host=True)
    died = Worker.objects.filter(
        ~Exists(draining),
        state=WorkerState.LOST,
        queues__contains=[queue],
        stopped_at__gt=now - _REPLACED_WITHIN,
        drain_requested_at=None,
    )
    found = died.order_by("-stopped_at", "pk")[:_WORKERS_READ]
    return next((worker for worker in found if not is_of_hosts_end(worker.state_reason)), None)


def _failed_tries(run: Run, paths: Sequence[str]) -> dict[str, StepRun]:
    """The last tries of these steps, where they failed: what waits there is the next try."""
    if not paths:
        return {}
    tries = StepRun.objects.filter(run_id=run.pk, path__in=paths).order_by("path", "-attempt").distinct("path")
    return {entry.path: entry for entry in tries if entry.state == "failed"}


def _lowest_held(workers: Sequence[Worker]) -> dict[UUID, int]:
    """Of the runs that each of these processes said it has. Where it has more than it can tell, of all in proportion.
    Index: primary key."""
    told = {worker.pk: heard(worker.doing) for worker in workers}
    ids = [run_id for doings in told.values() for run_id in doings]
    lowest = Counter(
        DueWork.objects.filter(pk__in=ids, priority=LOWEST_PRIORITY, lease_owner__isnull=False)
        .values_list("lease_owner", flat=True)
        .order_by()
    )
    running = {worker.pk: worker.running_count for worker in workers}
    return {
        boot_id: round(lowest[boot_id] * max(1.0, running[boot_id] / len(doings)))
        for boot_id, doings in told.items()
        if doings
    }


def _ahead_in_queue(work: DueWork) -> int:
    """In a fair queue those of its own agent: the agents take turns."""
    place = {"queue": work.queue, "place": _place(work), "run": work.pk}
    if work.agent_id is not None:
        return _count(_AHEAD_OF_AGENT, agent=work.agent_id, **place)
    return _count(_AHEAD_IN_QUEUE, **place)


def _overlap_line(work: DueWork) -> Line:
    holders = _ids(_LIVE_OF_TASK, task=work.task_id, most=_NAMED)
    ahead = _count(_HELD_BEFORE, task=work.task_id, available_at=work.available_at, run=work.pk)
    return Line(holders=holders, ahead=ahead)


def _key_line(work: DueWork) -> Line:
    key = ConcurrencyKey.objects.filter(pk=work.concurrency_key).first()
    limit = 1 if key is None else key.limit
    holders = _ids(_HOLDERS_OF_KEY, key=work.concurrency_key, most=min(limit, COUNTED))
    ahead = _count(_AHEAD_FOR_KEY, key=work.concurrency_key, place=_place(work), run=work.pk)
    return Line(holders=holders, limit=limit, ahead=ahead)


def _snooze_of(run: Run) -> AuditEntry | None:
    """The last snooze, if that is what its time comes from. Index: audit_object_idx."""
    entries = AuditEntry.objects.filter(object_kind="run", object_id=str(run.pk)).order_by("-id")[:20]
    return next((entry for entry in entries if entry.action == "run.snooze"), None)


def _place(work: DueWork) -> datetime:
    return work.available_at + work.priority * PRIORITY_STEP


def _drains(worker: Worker) -> bool:
    return worker.drain_requested_at is not None


def _count(statement: str, **parameters: Any) -> int:
    with connection.cursor() as cursor:
        cursor.execute(statement, {**parameters, "most": COUNTED})
        return int(cursor.fetchone()[0])


def _ids(statement: str, **parameters: Any) -> list[UUID]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return [run_id for (run_id,) in cursor.fetchall()]
