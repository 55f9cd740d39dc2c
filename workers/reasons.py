"""Why a run does not run, or what it does, in words: pure, of where the run stands (`workers.standing`).

The most important reason comes first; a run that will start at once has a reason, too.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from scheduling.console.words import duration, moment
from scheduling.runs.models import DueWork, Run
from scheduling.runs.states import Gate, RunState
from scheduling.tasks.models import TaskState
from workers import conf
from workers.doing import heard
from workers.models import LIVE_WORKER_STATES, Wait
from workers.retries import parse_retry
from workers.settlement import TOOLS_MISSING
from workers.standing import Standing

_QUEUES_NAMED = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One reason. `code` is stable; `sentence` and `hint` are for people; `facts` are JSON values."""

    code: str
    sentence: str
    hint: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


def reasons_of(standing: Standing) -> Iterator[Reason]:
    work = standing.work
    if work is None:
        yield _ended(standing)
        return
    if work.cancel_requested_at is not None:
        yield _cancel_requested(work)
    if work.lease_owner is not None:
        yield from _leased(standing, work)
        return
    yield from _gated(standing, work)
    yield from _waits(standing)
    yield from _later(standing, work)
    yield from _of_queue(standing)
    yield from _of_workers(standing, work)
    yield from _handed_back(work)


def _of_queue(standing: Standing) -> Iterator[Reason]:
    """What keeps all of the queue, or of the key, from being started. No worker helps against it."""
    queue = standing.queue
    if queue is not None and queue.is_paused(standing.now):
        until = queue.paused_until
        words = f" until {moment(until)}" if until is not None else ""
        why = f": {queue.pause_reason}" if queue.pause_reason else ""
        yield Reason(
            code="queue_paused",
            sentence=f"Its queue, {queue.name}, is paused{words}{why}.",
            facts={"queue": queue.name, "until": _shown(until), "reason": queue.pause_reason},
            hint=f"POST /api/v1/queues/{queue.name}/resume, or manage.py queue resume {queue.name}.",
        )
    for seconds, whose in ((standing.queue_wait, "queue"), (standing.key_wait, "key")):
        if seconds:
            yield Reason(
                code=f"{whose}_rate_used_up",
                sentence=f"The rate of its {whose} is used up; the next start is allowed in {seconds:.1f} s.",
                facts={"seconds": round(seconds, 3)},
                hint="It starts by itself. Raise the rate where that is too slow.",
            )


def _ended(standing: Standing) -> Reason:
    run = standing.run
    facts = {"state": run.state, "cause": run.cause or None, "finished_at": _shown(run.finished_at)}
    match run.state:
        case RunState.SUCCEEDED:
            return Reason(code="succeeded", sentence=f"It succeeded at {moment(run.finished_at)}.", facts=facts)
        case RunState.FAILED:
            error = _error_words(run)
            return Reason(
                code="failed",
                sentence=f"It failed at {moment(run.finished_at)} ({run.cause}) after attempt {run.attempt}: {error}",
                hint="Retry goes on where it failed; finished steps are not run again.",
                facts={**facts, "error": run.error, "attempt": run.attempt},
            )
        case RunState.CANCELED:
            return Reason(
                code="canceled",
                sentence=f"It was canceled at {moment(run.finished_at)}.",
                hint="Its audit trail says by whom. Start the task again for another run.",
                facts=facts,
            )
        case RunState.SKIPPED if run.skip_reason == "duplicate":
            return Reason(
                code="skipped_duplicate",
                sentence="It was skipped: another run stands in for it under the task's deduplication key.",
                hint="Wait until the window is over, or start with other params.",
                facts={**facts, "key": run.task.dedupe_key, "window": _shown(run.task.dedupe_window)},
            )
        case RunState.SKIPPED:
            return Reason(
                code="skipped_overlap",
                sentence=f"It was skipped: a run of the task was live, and its overlap policy was {run.task.overlap}"
                " or has been changed since.",
                hint="queue_one and queue_all let it wait instead.",
                facts={**facts, "overlap": run.task.overlap},
            )
        case RunState.MISSED:
            return Reason(code="missed", sentence="Its occurrence was missed and never became due work.", facts=facts)
    return Reason(
        code="no_due_work",
        sentence=f"Its row says {run.state}, but it is in no queue. That should not happen.",
        hint="Report it. Start the task again for another run.",
        facts=facts,
    )


def _cancel_requested(work: DueWork) -> Reason:
    return Reason(
        code="cancel_requested",
        sentence=f"It is being canceled since {moment(work.cancel_requested_at)}: its worker stops it within a second.",
        hint="A trusted synchronous tool may go on in its thread; its result is dropped.",
        facts={"at": _shown(work.cancel_requested_at)},
    )


def _leased(standing: Standing, work: DueWork) -> Iterator[Reason]:
    worker, run = standing.holder, standing.run
    facts: dict[str, Any] = {
        "worker": str(work.lease_owner),
        "host": worker and worker.host,
        "pid": worker and worker.pid,
        "since": _shown(work.claimed_at),
        "attempt": work.attempt,
        "deadline_at": _shown(work.deadline_at),
    }
    if worker is None or worker.state not in LIVE_WORKER_STATES:
        whose = "a worker that nobody knows" if worker is None else f"{worker}, which is {worker.state}"
        yield Reason(
            code="worker_gone",
            sentence=f"It is held by {whose}; a reaper gives it to another worker.",
            hint="That takes a minute at most, and needs one living worker host.",
            facts=facts,
        )
        return
    silent = standing.now - worker.beat_at
    if silent > conf.abort_after():
        yield Reason(
            code="worker_silent",
            sentence=f"Its worker {worker} has not beaten for {duration(silent)}.",
            hint="If it stays silent, a reaper of another host gives the run away.",
            facts={**facts, "beat_at": _shown(worker.beat_at)},
        )
    doing = heard(worker.doing).get(run.pk)
    step, since = (doing.step, doing.step_since) if doing is not None else (None, None)
    if step is None and standing.open_steps:
        step, since = standing.open_steps[0].path, standing.open_steps[0].started_at
    at = f", in step {step} since {moment(since)}" if step else ", between two steps as of its last beat"
    alone = " It is a suspect: its last worker died, so it is tried alone." if work.is_suspect else ""
    yield Reason(
        code="running",
        sentence=f"It runs on {worker} since {moment(work.claimed_at)}, attempt {work.attempt}{at}.{alone}",
        hint=f"Its time is over at {moment(work.deadline_at)}." if work.deadline_at else "",
        facts={**facts, "step": step, "step_since": _shown(since), "is_suspect": work.is_suspect},
    )


def _gated(standing: Standing, work: DueWork) -> Iterator[Reason]:
    task, run = standing.run.task, standing.run
    is_held_by_pause = work.gate == Gate.OVERLAP and task.paused_at is not None and run.created_at < task.paused_at
    if work.gate == Gate.PAUSED or (task.state == TaskState.PAUSED and is_held_by_pause):
        until = f" until {moment(task.paused_until)}" if task.paused_until else ""
        why = f": {task.pause_reason}" if task.pause_reason else ""
        yield Reason(
            code="task_paused",
            sentence=f"Its task is paused since {moment(task.paused_at)}{until}{why}",
            hint="Resume the task.",
            facts={
                "task": str(task.pk),
                "since": _shown(task.paused_at),
                "until": _shown(task.paused_until),
                "reason": task.pause_reason,
            },
        )
    if work.gate == Gate.OVERLAP:
        yield _behind_overlap(standing)
    elif work.gate == Gate.KEY:
        yield _behind_key(standing, work)
    elif work.gate == Gate.SUSPECT:
        yield Reason(
            code="suspect",
            sentence="Its last worker died while it ran, so it is tried alone: one such run a process."
            f" {work.death_count} deaths are charged to it, {conf.quarantine_after()} end it.",
            hint="It starts as soon as a worker of its queue holds no other suspect.",
            facts={"deaths": work.death_count, "quarantined_at": conf.quarantine_after()},
        )


def _behind_overlap(standing: Standing) -> Reason:
    line, overlap = standing.overlap, standing.run.task.overlap
    holders = _ids(line.holders)
    whom = f"run {holders[0]} of the task is live" if holders else "it is let go by the sweep within a second"
    return Reason(
        code="overlap",
        sentence=f"It waits behind its task's overlap policy {overlap}: {whom}; {line.ahead_words} wait before it.",
        hint="Cancel the live run, or change the policy to allow.",
        facts={"overlap": overlap, "held_by": holders, "ahead": line.ahead, "ahead_is_at_least": line.is_at_least},
    )


def _behind_key(standing: Standing, work: DueWork) -> Reason:
    line, holders = standing.key, _ids(standing.key.holders)
    key = (work.concurrency_key or "").partition(":")[2]
    facts = {
        "key": key,
        "limit": line.limit,
        "held_by": holders[:5],
        "held_count": len(holders),
        "place": line.ahead + 1,
        "place_is_at_least": line.is_at_least,
    }
    if not line.is_full:
        return Reason(
            code="key_has_room",
            sentence=f"Its concurrency key {key} has room: {len(holders)} of {line.limit} run. When it is due, it is"
            " admitted within a second.",
            facts=facts,
        )
    return Reason(
        code="key_full",
        sentence=f"Its concurrency key {key} is at its limit: {len(holders)} of {line.limit} run, among them run"
        f" {holders[0]}. {line.ahead_words} wait before it.",
        hint="Raise the limit, or cancel a run that holds the key.",
        facts=facts,
    )


def _waits(standing: Standing) -> Iterator[Reason]:
    for wait in standing.waits:
        facts = {"step": wait.path, "wake_at": _shown(wait.wake_at), "since": _shown(wait.created_at)}
        until = f" until {moment(wait.wake_at)}" if wait.wake_at else ""
        match wait.kind:
            case Wait.Kind.TIMER:
                yield Reason(code="waiting_timer", sentence=f"Step {wait.path} waits{until}.", facts=facts)
            case Wait.Kind.EVENT:
                sentence = f"Step {wait.path} waits for an event{until}."
                yield Reason(code="waiting_event", sentence=sentence, hint="Publish the event.", facts=facts)
            case Wait.Kind.APPROVAL:
                sentence = f"Step {wait.path} waits for an approval{until}."
                yield Reason(code="waiting_approval", sentence=sentence, hint="Somebody has to decide.", facts=facts)


def _later(standing: Standing, work: DueWork) -> Iterator[Reason]:
    """What keeps it from being due, where that is not a wait of its own."""
    run = standing.run
    if work.available_at <= standing.now or standing.waits:
        return
    at, left = moment(work.available_at), duration(work.available_at - standing.now)
    facts: dict[str, Any] = {"available_at": _shown(work.available_at), "attempt": work.attempt}
    if _is_of_snooze(standing, work):
        assert standing.snooze is not None
        told = standing.snooze.after or {}
        why = f": {told['reason']}" if told.get("reason") else ""
        yield Reason(
            code="snoozed",
            sentence=f"{standing.snooze.actor_label} put it off until {at} (in {left}){why}",
            hint="Snooze it again for a nearer time.",
            facts={**facts, "by": standing.snooze.actor_label, "reason": told.get("reason", "")},
        )
    elif _error_code(run) == TOOLS_MISSING:
        yield Reason(
            code="tools_missing",
            sentence=f"{_error_words(run)[:1].upper()}{_error_words(run)[1:]} It is offered again at {at} (in {left}).",
            hint="Install the tool on a worker host of its queue.",
            facts={**facts, "error": run.error, "handbacks": work.handback_count},
        )
    elif work.attempt > 1:
        most = _attempts_of(run)
        of = f" of {most}" if most else ""
        yield Reason(
            code="retry_at",
            sentence=f"It failed and is tried again at {at} (in {left}),"
            f" attempt {work.attempt}{of}: {_error_words(run)}",
            hint="Snooze it for a nearer time, or cancel it.",
            facts={**facts, "max_attempts": most, "error": run.error},
        )
    else:
        yield Reason(code="due_later", sentence=f"It is due at {at} (in {left}).", facts=facts)


def _is_of_snooze(standing: Standing, work: DueWork) -> bool:
    """A retry or a hand-back after the snooze has set another time."""
    told = standing.snooze.after if standing.snooze is not None else None
    return isinstance(told, dict) and told.get("until") == _shown(work.available_at)


def _of_workers(standing: Standing, work: DueWork) -> Iterator[Reason]:
    listening, of_queue = standing.listening, standing.of_queue
    if not listening:
        yield _no_worker(standing, work)
        return
    if work.gate is not None or work.available_at > standing.now:
        return
    busy, slots = (sum(getattr(worker, name) for worker in listening) for name in ("running_count", "slots"))
    ahead = standing.queue_ahead
    facts = {
        "queue": work.queue,
        "workers": len(of_queue),
        "busy": busy,
        "slots": slots,
        "ahead": ahead.ahead,
        "ahead_is_at_least": ahead.is_at_least,
        "due_since": _shown(work.available_at),
    }
    freshest = min(standing.now - worker.beat_at for worker in listening)
    if freshest > conf.abort_after():
        yield Reason(
            code="workers_silent",
            sentence=f"No worker of queue {work.queue} has beaten for {duration(freshest)}.",
            hint="Look at the worker hosts: they may be cut off from the database.",
            facts=facts,
        )
    elif busy >= slots:
        yield Reason(
            code="queue_full",
            sentence=f"All workers of queue {work.queue} are full: {busy} of {slots} slots are busy, and"
            f" {ahead.ahead_words} due runs come before it.",
            hint="Start more worker processes, or give it a higher priority (a lower number) the next time.",
            facts=facts,
        )
    else:
        waited = duration(standing.now - work.available_at)
        yield Reason(
            code="about_to_start",
            sentence=f"It is due for {waited} and queue {work.queue} has room ({busy} of {slots} slots are busy,"
            f" {ahead.ahead_words} due runs come before it): it should start within a second.",
            hint="If it stays so, look at the workers' last errors.",
            facts=facts,
        )


def _no_worker(standing: Standing, work: DueWork) -> Reason:
    queues = sorted({queue for worker in standing.workers for queue in worker.queues})[:_QUEUES_NAMED]
    draining = len(standing.of_queue)
    others = f"Live workers listen to {', '.join(queues)}." if queues else "There is no live worker at all."
    drains = f" {draining} of that queue are draining." if draining else ""
    return Reason(
        code="no_worker",
        sentence=f"No live worker listens to its queue {work.queue}. {others}{drains}",
        hint=f"Start one: manage.py runworkers --queue {work.queue}",
        facts={"queue": work.queue, "live_queues": queues, "draining": draining},
    )


def _handed_back(work: DueWork) -> Iterator[Reason]:
    if work.handback_count:
        times = "once" if work.handback_count == 1 else f"{work.handback_count} times"
        yield Reason(
            code="handed_back",
            sentence=f"Workers gave it back {times} without an end (a drain, or a tool they lack); that is no attempt.",
            hint="Past five times, give it shorter steps, or the workers a longer ORDINAUT_GRACE."
            if work.handback_count >= 5
            else "",
            facts={"handbacks": work.handback_count},
        )


def _attempts_of(run: Run) -> int | None:
    """How many attempts the task's policy allows; None where the stored policy is damaged."""
    try:
        return parse_retry(run.task.retry).max_attempts
    except (ValueError, TypeError, AttributeError):
        return None


def _error_code(run: Run) -> str:
    return str(run.error.get("code", "")) if isinstance(run.error, dict) else ""


def _error_words(run: Run) -> str:
    error = run.error if isinstance(run.error, dict) else {}
    words = str(error.get("detail") or error.get("code") or "no error was kept")
    where = f" (step {error['step']})" if error.get("step") else ""
    return f"{words[:500]}{where}."


def _ids(runs: Iterable[UUID]) -> list[str]:
    return [str(run_id) for run_id in runs]


def _shown(value: datetime | timedelta | None) -> str | float | None:
    if isinstance(value, timedelta):
        return value.total_seconds()
    return None if value is None else value.astimezone(UTC).isoformat().replace("+00:00", "Z")
