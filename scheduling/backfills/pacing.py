"""What the clock does with running backfills: a turn looks at some of them and starts what their pace allows.

A turn reads without locks, plans purely, and writes one transaction a backfill: it locks the task, then the backfill
where its cursor still stands where the plan began, counts again, admits, and moves the cursor. What somebody else holds
is left for the next turn, so that a clock never waits here while live schedules become due.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
import structlog
from django.db.models import F
from django.db.models.functions import Now

from scheduling.backfills.models import Backfill, BackfillOverlap, BackfillState
from scheduling.backfills.selectors import have_run
from scheduling.clock import session
from scheduling.clock.faults import Fault, fault_of
from scheduling.clock.tries import Tries
from scheduling.core.backfill import Slice, next_slice, rule_of_words
from scheduling.core.recurrence import ScheduleError, compile_rule
from scheduling.runs.admission import Start, admit
from scheduling.runs.states import RunState, TriggerKind
from scheduling.tasks.models import OverlapPolicy, TaskState

logger = structlog.get_logger(__name__)

PAGE = 20  # backfills a turn
LOOKED_AT = 100  # occurrences a turn of one backfill, where those that ran before are left out
TURN_TIME = 0.2  # seconds; what a turn does not come to in it is for the next, after live firing
# A statement of a turn: what takes longer is tried again ever more seldom, and may take twice as long each time.
A_MOMENT = timedelta(seconds=1)

_LIVE_COUNT = (
    "SELECT count(*) FROM scheduling_run run WHERE run.backfill_id = {} AND run.state IN ('queued', 'waiting')"
)

# Purpose: running backfills in the order of their making, from where the last turn stopped. Those of paused tasks wait.
# Index: backfill_running_idx; run_backfill_live_idx for the count. Locks: none.
_READ_RUNNING = f"""
SELECT backfill.id, backfill.created_at, backfill.schedule_id, schedule.task_id, task.state, backfill.rule,
       backfill.end_at, backfill.cursor_at, backfill.overlap, backfill.max_active, backfill.only_missing,
       backfill.created_by, ({_LIVE_COUNT.format("backfill.id")})
FROM scheduling_backfill backfill
JOIN scheduling_schedule schedule ON schedule.id = backfill.schedule_id
JOIN scheduling_task task ON task.id = schedule.task_id
WHERE backfill.state = 'running' AND task.state <> 'paused'
  AND (%(at)s::timestamptz IS NULL OR (backfill.created_at, backfill.id) > (%(at)s, %(id)s))
ORDER BY backfill.created_at, backfill.id
LIMIT %(page)s
"""  # noqa: S608 (no input: one statement inside another)

# Purpose: hold the task against a pause and other starters. Locks: its row, unless somebody has it.
_LOCK_TASK = "SELECT overlap, state FROM scheduling_task WHERE id = %s FOR NO KEY UPDATE SKIP LOCKED"

# Purpose: hold the backfill where the plan still fits. Locks: its row, unless somebody has it.
_LOCK_BACKFILL = """
SELECT FROM scheduling_backfill WHERE id = %s AND cursor_at = %s AND state = 'running'
FOR NO KEY UPDATE SKIP LOCKED
"""

# Purpose: whether a run of an exclusive task is live or held. Index: due_work_exclusive_idx. Locks: none.
_IS_BUSY = "SELECT EXISTS (SELECT FROM scheduling_duework WHERE is_exclusive AND task_id = %s)"


@dataclass(frozen=True, slots=True)
class RunningBackfill:
    """A backfill as a turn reads it, in the order of the columns of `_READ_RUNNING`."""

    id: UUID
    created_at: datetime
    schedule_id: UUID
    task_id: UUID
    task_state: str
    rule: Any
    end_at: datetime
    cursor_at: datetime
    overlap: str
    max_active: int
    only_missing: bool
    created_by: str
    live_count: int

    @property
    def is_started(self) -> bool:
        """True where the cursor has left the range: what remains is that the last runs end."""
        return self.cursor_at > self.end_at


@dataclass(frozen=True, slots=True)
class TurnResult:
    """What a turn did. `is_more`: there is more to do at once."""

    started: int = 0
    skipped: int = 0
    ended: int = 0
    is_more: bool = False


class BackfillPacer:
    """Turns over the running backfills, a page of them at a time, so that none is left out however many there are."""

    def __init__(self, *, page: int = PAGE) -> None:
        self._page = page
        self._after: tuple[datetime, UUID] | None = None
        self._hung = Tries(base=A_MOMENT)  # backfills

    def turn(self) -> TurnResult:
        """Look at the next page of running backfills. Errors of the connection are the caller's: nothing is lost."""
        over_at = time.monotonic() + TURN_TIME
        found = read_running(after=self._after, page=self._page)
        is_full = len(found) == self._page
        results: list[TurnResult] = []
        for backfill in found:
            if results and time.monotonic() > over_at:
                is_full = True
                break
            self._after = (backfill.created_at, backfill.id)
            if not self._hung.is_left_alone(backfill.id):
                with session.searching(self._hung.limit(backfill.id)):
                    results.append(_advance_or_fail(backfill, lambda: time.monotonic() > over_at, self._hung))
        if not is_full:
            self._after = None
        return TurnResult(
            started=sum(each.started for each in results),
            skipped=sum(each.skipped for each in results),
            ended=sum(each.ended for each in results),
            is_more=is_full or any(each.is_more for each in results),
        )


def read_running(*, after: tuple[datetime, UUID] | None = None, page: int = PAGE) -> list[RunningBackfill]:
    """Running backfills, oldest first, after one that is told by its time and id."""
    at, last = after or (None, None)
    with session.bounded() as cursor:
        cursor.execute(_READ_RUNNING, {"at": at, "id": last, "page": page})
        return [RunningBackfill(*row) for row in cursor.fetchall()]


def plan_slice(backfill: RunningBackfill, is_time_over: Callable[[], bool] = lambda: False) -> Slice:
    """The occurrences that may be next. ScheduleError, ValueError or TypeError where the rule is broken."""
    words = orjson.loads(backfill.rule) if isinstance(backfill.rule, str | bytes) else backfill.rule
    return next_slice(
        compile_rule(rule_of_words(words)),
        cursor=backfill.cursor_at,
        end=backfill.end_at,
        limit=LOOKED_AT if backfill.only_missing else backfill.max_active,
        is_time_over=is_time_over,
    )


def advance(backfill: RunningBackfill, part: Slice | None) -> TurnResult:
    """Start what the pace allows of `part` and move the cursor; None: see whether the last run has ended.

    One transaction. Where somebody else holds the task or the backfill, or has moved it, nothing happens.
    """
    with session.bounded() as cursor:
        overlap = _lock(cursor, backfill)
        if overlap is None:
            return TurnResult()
        live = _live_count(cursor, backfill)
        if part is None:
            return TurnResult() if live else _end(backfill, BackfillState.COMPLETED)
        room = backfill.max_active - live
        if room <= 0 or _must_wait(cursor, backfill, overlap):
            return TurnResult()
        return _start(cursor, backfill, part, room=room)


def _advance_or_fail(backfill: RunningBackfill, is_time_over: Callable[[], bool], hung: Tries) -> TurnResult:
    if backfill.task_state == TaskState.ARCHIVED:
        return _end(backfill, BackfillState.CANCELED, "its task is archived")
    if backfill.live_count >= (1 if backfill.is_started else backfill.max_active):
        return TurnResult()
    try:
        result = advance(backfill, None if backfill.is_started else plan_slice(backfill, is_time_over))
        hung.forget(backfill.id)
        return result
    except ScheduleError as error:
        return _end(backfill, BackfillState.FAILED, f"{error.code}: {error.detail}")
    except Exception as error:
        fault = fault_of(error)
        if fault.is_everywhere:
            raise
        logger.exception("backfill.cannot_be_advanced", backfill=str(backfill.id), fault=fault)
        if fault is Fault.STATEMENT_TIMEOUT:
            hung.hung(backfill.id)
        if fault is not Fault.REFUSED and not isinstance(error, TypeError):
            return TurnResult()  # somebody holds its task, say: the next turn comes to it again
        return _end(backfill, BackfillState.FAILED, f"cannot be advanced: {type(error).__name__}: {error}")


def _lock(cursor: Any, backfill: RunningBackfill) -> str | None:
    """The task's overlap policy, with both rows locked; None where this turn is not to be."""
    cursor.execute(_LOCK_TASK, [backfill.task_id])
    row = cursor.fetchone()
    if row is None or row[1] != TaskState.ACTIVE:
        return None
    cursor.execute(_LOCK_BACKFILL, [backfill.id, backfill.cursor_at])
    return str(row[0]) if cursor.fetchone() is not None else None


def _live_count(cursor: Any, backfill: RunningBackfill) -> int:
    """In a statement of its own: what others committed before the locks were granted is seen."""
    cursor.execute(_LIVE_COUNT.format("%s"), [backfill.id])
    return int(cursor.fetchone()[0])


def _must_wait(cursor: Any, backfill: RunningBackfill, overlap: str) -> bool:
    """Under `queue_all`, a task that forbids overlap has no other run while one of ours is live."""
    if backfill.overlap != BackfillOverlap.QUEUE_ALL or overlap == OverlapPolicy.ALLOW:
        return False
    cursor.execute(_IS_BUSY, [backfill.task_id])
    return bool(cursor.fetchone()[0])


def _start(cursor: Any, backfill: RunningBackfill, part: Slice, *, room: int) -> TurnResult:
    ran = have_run(backfill.schedule_id, part.occurrences) if backfill.only_missing else set()
    missing = [each for each in part.occurrences if each not in ran]
    chosen, later = missing[:room], missing[room:]
    cursor_at = later[0] if later else part.cursor_at
    admitted = admit(cursor, [_start_of(backfill, each) for each in chosen])
    started = sum(each.run_id is not None and each.state != RunState.SKIPPED for each in admitted)
    passed = sum(each < cursor_at for each in ran) + len(chosen) - started
    Backfill.objects.filter(pk=backfill.id).update(
        cursor_at=cursor_at,
        started_count=F("started_count") + started,
        skipped_count=F("skipped_count") + passed,
    )
    return TurnResult(started=started, skipped=passed, is_more=not later and started < room)


def _start_of(backfill: RunningBackfill, occurrence: datetime) -> Start:
    return Start(
        task_id=backfill.task_id,
        trigger_kind=TriggerKind.BACKFILL,
        schedule_id=backfill.schedule_id,
        backfill_id=backfill.id,
        scheduled_for=occurrence,
        is_beside_others=backfill.overlap == BackfillOverlap.ALLOW,
        is_backfilled=True,
        triggered_by=backfill.created_by,
    )


def _end(backfill: RunningBackfill, state: BackfillState, reason: str = "") -> TurnResult:
    """Guarded: whoever ended it first has the last word. Where somebody holds it, the next turn comes to it again."""
    with session.bounded():
        running = Backfill.objects.select_for_update(skip_locked=True, no_key=True)
        free = list(running.filter(pk=backfill.id, state=BackfillState.RUNNING).values_list("pk", flat=True))
        ended = Backfill.objects.filter(pk__in=free).update(state=state, state_reason=reason[:500], finished_at=Now())
    if ended:
        logger.info("backfill.ended", backfill=str(backfill.id), state=str(state), reason=reason)
    return TurnResult(ended=ended)
