"""Why a run that is due has not been started: its queue, its rate, the workers."""

from collections.abc import Iterator
from typing import Any

from scheduling.console.words import duration, moment
from scheduling.runs.models import DueWork
from scheduling.tasks.models import LOWEST_PRIORITY
from workers import conf
from workers.floors import slots_for_lowest
from workers.models import Worker
from workers.reasons.reason import Reason, shown
from workers.standing import Standing

_QUEUES_NAMED = 20


def of_queue(standing: Standing) -> Iterator[Reason]:
    """What keeps all of the queue, or of the key, from being started. No worker helps against it."""
    queue = standing.queue
    if queue is not None and queue.is_paused(standing.now):
        until = queue.paused_until
        words = f" until {moment(until)}" if until is not None else ""
        why = f": {queue.pause_reason}" if queue.pause_reason else ""
        yield Reason(
            code="queue_paused",
            sentence=f"Its queue, {queue.name}, is paused{words}{why}.",
            facts={"queue": queue.name, "until": shown(until), "reason": queue.pause_reason},
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


def of_workers(standing: Standing, work: DueWork) -> Iterator[Reason]:
    listening, of_queue = standing.listening, standing.of_queue
    if not listening:
        yield _no_worker(standing, work)
        return
    is_paused = standing.queue is not None and standing.queue.is_paused(standing.now)
    if work.gate is not None or work.available_at > standing.now or standing.queue_wait or is_paused:
        return
    busy, slots = (sum(getattr(worker, name) for worker in listening) for name in ("running_count", "slots"))
    ahead = standing.queue_ahead
    whose = "due runs" if work.agent_id is None else "due runs of its agent, while agents take turns,"
    facts = {
        "queue": work.queue,
        "workers": len(of_queue),
        "busy": busy,
        "slots": slots,
        "ahead": ahead.ahead,
        "ahead_is_at_least": ahead.is_at_least,
        "ahead_is_of_agent": work.agent_id is not None,
        "due_since": shown(work.available_at),
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
            f" {ahead.ahead_words} {whose} come before it.",
            hint="Start more worker processes, or give it a higher priority (a lower number) the next time.",
            facts=facts,
        )
    elif work.priority == LOWEST_PRIORITY and not any(_takes_lowest(standing, worker) for worker in listening):
        held = sum(standing.lowest_held.values())
        open_to_it = sum(slots_for_lowest(worker.slots) for worker in listening)
        yield Reason(
            code="lowest_priority_full",
            sentence=f"Runs of priority {LOWEST_PRIORITY} leave a quarter of each process's slots to all others: {held}"
            f" of the {open_to_it} slots of queue {work.queue} that they may take are busy with them,"
            f" {ahead.ahead_words} {whose} come before it.",
            hint="Start more worker processes, or give its task a higher priority (a lower number).",
            facts={**facts, "held_by_lowest": held, "slots_for_lowest": open_to_it},
        )
    else:
        waited = duration(standing.now - work.available_at)
        yield Reason(
            code="about_to_start",
            sentence=f"It is due for {waited} and queue {work.queue} has room ({busy} of {slots} slots are busy,"
            f" {ahead.ahead_words} {whose} come before it): it should start within a second.",
            hint="If it stays so, look at the workers' last errors.",
            facts=facts,
        )


def _takes_lowest(standing: Standing, worker: Worker) -> bool:
    is_full = worker.running_count >= worker.slots
    return not is_full and standing.lowest_held.get(worker.pk, 0) < slots_for_lowest(worker.slots)


def _no_worker(standing: Standing, work: DueWork) -> Reason:
    queues = sorted({queue for worker in standing.workers for queue in worker.queues})[:_QUEUES_NAMED]
    draining = len(standing.of_queue)
    others = f"Live workers listen to {', '.join(queues)}." if queues else "There is no live worker at all."
    drains = f" {draining} of that queue are draining." if draining else ""
    sentence = f"No live worker listens to its queue {work.queue}."
    hint = f"Start one: manage.py runworkers --queue {work.queue}"
    last = standing.last_ended
    if last is not None:
        sentence += (
            f" The last one, {last}, is gone since {moment(last.stopped_at)}: {last.state_reason}. Its host, if it"
            " still runs, starts another one by itself, after a pause that grows while its processes die young."
        )
        hint = (
            "Wait half a minute, and look in that host's log and at the last error of that worker why it ended."
            f" Only if the host is gone: manage.py runworkers --queue {work.queue}"
        )
    return Reason(
        code="no_worker",
        sentence=f"{sentence} {others}{drains}",
        hint=hint,
        facts={
            "queue": work.queue,
            "live_queues": queues,
            "draining": draining,
            "last_ended": None if last is None else _end_of(last),
        },
    )


def _end_of(worker: Worker) -> dict[str, Any]:
    return {
        "worker": str(worker.pk),
        "host": worker.host,
        "pid": worker.pid,
        "at": shown(worker.stopped_at),
        "reason": worker.state_reason,
    }


def handed_back(work: DueWork) -> Iterator[Reason]:
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
