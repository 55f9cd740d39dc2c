"""The ends of watched runs: what follows them, and tasks that fail too often.

RunEnds are consumed queue-style, each in a transaction of its own together with what follows from it, so that an end
is acted on once, whichever clock takes it and wherever that clock is killed.
"""

import math
import time
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import structlog
from django.db import transaction
from django.db.models import Q

from scheduling.audit.operations import Actor
from scheduling.clock import metrics, session
from scheduling.clock.faults import Fault, fault_of
from scheduling.clock.points import reach
from scheduling.clock.tries import Tries
from scheduling.events.operations import store
from scheduling.events.topics import topic_of_end
from scheduling.instants import database_now
from scheduling.runs.lineage import event_depth
from scheduling.runs.models import Run
from scheduling.runs.states import FINAL_STATES, RunState, TriggerKind
from scheduling.schedules.models import Schedule, ScheduleKind
from scheduling.schedules.selectors import firing_at
from scheduling.tasks.models import Task, TaskState
from scheduling.tasks.operations import pause_task
from scheduling.triggers.admitting import Moment, fire
from scheduling.triggers.conditions import settle_check
from scheduling.triggers.judging import with_tasks

logger = structlog.get_logger(__name__)

BATCH = 200
TURN = 0.2  # seconds; live firing has its turn between two of them
PUT_OFF_FOR = 5.0  # seconds
# How long one call waits for locks altogether, and each time. When that is spent it only looks whether they are free.
WAITS_FOR = 0.3  # seconds
HANGS_FOR = 0.5  # seconds of statements that hang; what is left then has its turn after the next pass
_A_MOMENT = timedelta(milliseconds=100)
_A_LOOK = timedelta(milliseconds=2)
_MOST_PUT_OFF = 100  # tasks of one call
_OVERTAKEN = 1000

# Purpose: take the oldest end that nobody else is acting on, from the one that this call acted on last, and whose task
# was not put off; or the oldest of one task. Index: primary key. Locks: the row it deletes.
_TAKE = """
DELETE FROM scheduling_runend
WHERE id = (
    SELECT id FROM scheduling_runend
    WHERE id >= %(after)s AND task_id <> ALL(%(without)s::uuid[]) AND (%(of)s::uuid IS NULL OR task_id = %(of)s)
    ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED
)
RETURNING id, run_id, task_id
"""

# What a follower asks for, by the state in which the run ended.
_WANTED = {
    RunState.SUCCEEDED: ("success", "end"),
    RunState.FAILED: ("failure", "end"),
    RunState.CANCELED: ("end",),
}


class RunEnds:
    """Acts on ends of runs, and leaves those of tasks alone for a while in whose way somebody's locks are: whoever
    holds what follows one end of a task holds what follows the next one."""

    def __init__(
        self, *, patience: timedelta = _A_MOMENT, turn: float = TURN, statement: timedelta | None = session.SEARCHING
    ) -> None:
        self._patience = patience  # with one lock
        self._statement = statement  # how long one may take; None as long as the setting says
        self._hung = Tries()  # tasks whose ends hang: what follows them does, most likely
        self._turn = turn  # seconds
        self.is_more = False  # after a turn: there may be more at once
        self._put_off: dict[UUID, float] = {}  # tasks whose runs ended, and until when, by the monotonic clock

    def act(self, batch: int = BATCH) -> int:
        """Act on at most `batch` ends, and begin none when the turn is over, time of waiting left out; return how many.
        Opens its own transactions, one an end.

        An end that cannot be acted on is logged, counted and dropped, because it would fail for ever. One that meets
        somebody's lock is put off together with the others of its task, and those of other tasks go on. Errors of the
        connection are the caller's; nothing is lost.
        """
        began = time.monotonic()
        self._put_off = {task: until for task, until in self._put_off.items() if until > began}
        done = after = tries = 0
        waited = hung = 0.0
        is_exhausted = False
        while done < batch and tries < _MOST_PUT_OFF and time.monotonic() - began - waited < self._turn:
            taken = _Taken(after=after)
            started = time.monotonic()
            try:
                with session.hurried(self._patience if waited < WAITS_FOR else _A_LOOK), self._brief():
                    if not _take_one(taken, [*self._put_off, *self._hung.known()]):
                        is_exhausted = True
                        break
                done += 1
                after = taken.id
            except Exception as error:
                fault = self._put_it_off(taken, error)
                if not fault.is_contention or taken.task_id is None:
                    raise
                tries += 1
                waited += time.monotonic() - started
                hung += time.monotonic() - started if fault is Fault.STATEMENT_TIMEOUT else 0
                after = taken.id
                if hung > HANGS_FOR:
                    break
        self.is_more = done > 0 and not is_exhausted
        return done + (self._try_again() if hung <= HANGS_FOR else 0)

    def _try_again(self) -> int:
        """One end of each task whose ends have hung and may be tried again, as long as HANGS_FOR lasts."""
        over_at = time.monotonic() + HANGS_FOR
        done = 0
        for task in self._hung.due():
            if time.monotonic() > over_at:
                break
            taken = _Taken(after=0)
            try:
                with session.hurried(self._patience), session.searching(self._hung.limit(task)):
                    done += _take_one(taken, [], of=task)
                self._hung.forget(task)
                self.is_more = True
            except Exception as error:
                if not self._put_it_off(taken, error).is_contention:
                    raise
        return done

    def _brief(self) -> AbstractContextManager[None]:
        return nullcontext() if self._statement is None else session.searching(self._statement)

    def _put_it_off(self, taken: "_Taken", error: Exception) -> Fault:
        """Leave the ends of the task alone for a while, whatever went wrong: the others come first."""
        fault = fault_of(error)
        if taken.task_id is None:
            return fault
        if fault is Fault.STATEMENT_TIMEOUT:
            self._hung.hung(taken.task_id)
        else:
            self._put_off[taken.task_id] = time.monotonic() + PUT_OFF_FOR
        if fault.is_contention:
            metrics.FAULTS.labels(fault.value).inc()
            logger.warning("run_end.put_off", end=taken.id, task=str(taken.task_id), fault=fault)
        return fault


def act_on_run_ends(batch: int = BATCH) -> int:
    """What `RunEnds.act` does, with nothing put off, and as patient as the clock's settings are."""
    return RunEnds(patience=timedelta.max, turn=math.inf, statement=None).act(batch)


@dataclass(slots=True)
class _Taken:
    """The end that is acted on: known to the caller whatever becomes of the transaction."""

    after: int
    id: int = 0
    task_id: UUID | None = None


def _take_one(taken: _Taken, put_off: Iterable[UUID], *, of: UUID | None = None) -> bool:
    """Take the oldest end, or the oldest `of` a task, and act on it, in one transaction; False where there is none."""
    with session.bounded() as cursor:
        cursor.execute(_TAKE, {"after": taken.after, "without": list(put_off), "of": of})
        row = cursor.fetchone()
        if row is None:
            return False
        taken.id, run_id, taken.task_id = row
        try:
            # A savepoint: what went wrong is undone, the end stays taken.
            with transaction.atomic():
                reach("end-taken")
                _act_on(run_id)
                reach("end-acted-on")
        except Exception as error:
            fault = fault_of(error)
            if fault.is_everywhere or fault.is_contention:
                raise
            logger.exception("run_end.not_acted_on", run=str(run_id))
            metrics.RUN_ENDS_DROPPED.inc()
    return True


def _act_on(run_id: UUID) -> None:
    run = Run.objects.select_related("event", "task").filter(pk=run_id).first()
    # A failed run that was redriven meanwhile has not ended: its end will be told again.
    if run is None or RunState(run.state) not in FINAL_STATES:
        return
    if run.trigger_kind == TriggerKind.CHECK:
        settle_check(run)
        return
    # What a backfill has led to says nothing about today, and must not stop live firing.
    is_live_failure = run.state == RunState.FAILED and not run.is_backfilled
    may_pause = is_live_failure and run.task.pause_after_failures is not None
    if may_pause:
        _lock_the_task_and_its_followers(run)
    start_followers(run)
    if may_pause:
        _pause_when_it_fails_too_often(run)


def start_followers(run: Run) -> list[UUID]:
    """Start the tasks that follow the run's task. The end becomes an event only where somebody follows.

    A simulated run's followers are simulated: what a rehearsal leads to is a rehearsal, and no run that acts for real
    takes its event. Followers are started by whoever started the run. What a backfill leads to has
    the lowest priority, as its own runs: it would else take all the slots that these leave. Nobody follows a run that
    was skipped: it has waited, and never begun.
    """
    wanted = _WANTED.get(RunState(run.state), ())
    followers = with_tasks(
        Schedule.objects.filter(
            firing_at(database_now()), kind=ScheduleKind.AFTER, after_task=run.task_id, expression__in=wanted
        )
    )
    if not followers:
        return []

    def still_follows(schedule: Schedule) -> bool:
        is_after = schedule.kind == ScheduleKind.AFTER and schedule.after_task_id == run.task_id
        return is_after and schedule.expression in wanted

    event = store(
        topic=topic_of_end(RunState(run.state)),
        payload={
            "run": str(run.pk),
            "task": run.task.key,
            "state": run.state,
            "cause": run.cause or None,
            "simulated": run.simulated,
            "output": run.output,
            "error": run.error,
            "scheduled_for": run.scheduled_for.isoformat() if run.scheduled_for else None,
        },
        agent_id=run.agent_id,
        depth=1 + event_depth(run),
        simulated=run.simulated,
        caused_by=run.triggered_by,
    )
    moment = Moment(
        event=event,
        trigger_kind=TriggerKind.AFTER,
        simulated=run.simulated,
        is_backfilled=run.is_backfilled,
    )
    return fire(followers, moment, still=still_follows)


def _lock_the_task_and_its_followers(run: Run) -> None:
    """Tasks by id, then their schedules by id: the order of the whole app.

    Followers first and the task when it is paused would be the opposite order for two tasks that follow each other. And
    failures are counted once nobody can pause or resume the task any more.
    """
    following = Schedule.objects.filter(kind=ScheduleKind.AFTER, after_task=run.task_id)
    tasks = Task.objects.filter(Q(pk=run.task_id) | Q(pk__in=following.values("task_id")))
    schedules = Schedule.objects.filter(Q(task=run.task_id) | Q(pk__in=following.values("pk")))
    for rows in (tasks, schedules):
        list(rows.select_for_update(no_key=True).order_by("pk").values_list("pk"))


def _pause_when_it_fails_too_often(run: Run) -> None:
    """Pause the task when its newest runs, as many as it allows, have all failed since it was resumed.

    Requires the lock of the task: of two ends at once the second finds it paused, and an operator's reason stays.
    """
    task = Task.objects.filter(pk=run.task_id, state=TaskState.ACTIVE, pause_after_failures__isnull=False).first()
    if task is None:
        return
    allowed = task.pause_after_failures or 0
    states = _newest_ends(task, allowed)
    if len(states) < allowed or any(state != RunState.FAILED for state in states):
        return
    error = run.error if isinstance(run.error, dict) else {}
    last = error.get("detail") or error.get("code") or "no error was recorded"
    reason = f"{allowed} runs in a row have failed; the last: {last}"
    pause_task(actor=Actor.system("clock"), task=task, reason=reason[:500])
    logger.warning("task.paused_after_failures", task=str(task.pk), failures=allowed)


def _newest_ends(task: Task, count: int) -> list[str]:
    """The states of the runs that ended last since the task was resumed. Looked for among the newest made, because
    nothing else is indexed: a run that was overtaken by a thousand others is not in a row with them."""
    made = (
        Run.objects.filter(
            task=task, simulated=False, is_backfilled=False, state__in=(RunState.SUCCEEDED, RunState.FAILED)
        )
        .exclude(trigger_kind=TriggerKind.CHECK)
        .order_by("-id")
        .values_list("finished_at", "id", "state")[: count + _OVERTAKEN]
    )
    since = task.resumed_at
    ended = sorted((each for each in made if each[0] and (since is None or each[0] > since)), reverse=True)
    return [state for _, _, state in ended[:count]]
