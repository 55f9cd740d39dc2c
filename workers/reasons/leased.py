"""What a run is at that a worker holds."""

from collections.abc import Iterator
from typing import Any

from scheduling.console.words import duration, moment
from scheduling.runs.models import DueWork
from workers import conf
from workers.doing import MOST_TOLD, heard
from workers.models import LIVE_WORKER_STATES
from workers.reasons.reason import Reason, shown
from workers.standing import Standing


def cancel_requested(standing: Standing, work: DueWork) -> Reason:
    how = "its worker stops it within a second"
    if work.lease_owner is None:
        how = "no worker holds it, and the next one that takes it runs what is to run last, and ends it"
    elif standing.holder is None or standing.holder.state not in LIVE_WORKER_STATES:
        how = "its worker is gone, and it ends when a reaper finds that"
    return Reason(
        code="cancel_requested",
        sentence=f"It is being canceled since {moment(work.cancel_requested_at)}: {how}.",
        hint="What does not stop is left behind: a trusted synchronous tool at once, another after two seconds.",
        facts={"at": shown(work.cancel_requested_at)},
    )


def leased(standing: Standing, work: DueWork) -> Iterator[Reason]:
    worker, run = standing.holder, standing.run
    facts: dict[str, Any] = {
        "worker": str(work.lease_owner),
        "host": worker and worker.host,
        "pid": worker and worker.pid,
        "since": shown(work.claimed_at),
        "attempt": work.attempt,
        "deadline_at": shown(work.deadline_at),
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
            facts={**facts, "beat_at": shown(worker.beat_at)},
        )
    doing = heard(worker.doing).get(run.pk)
    step, since = (doing.step, doing.step_since) if doing is not None else (None, None)
    if step is None and standing.open_steps:
        step, since = standing.open_steps[0].shown_path, standing.open_steps[0].started_at
    has_beaten_since = work.claimed_at is not None and worker.beat_at > work.claimed_at
    if doing is None and step is None and has_beaten_since and len(heard(worker.doing)) < MOST_TOLD:
        yield Reason(
            code="waits_for_slot",
            sentence=f"It is held by {worker} since {moment(work.claimed_at)} and waits for one of its slots.",
            hint="It starts within a second, or is given back for another worker. Its time has not begun.",
            facts={**facts, "busy": worker.running_count, "slots": worker.slots},
        )
        return
    if doing is not None and doing.waits_for_process:
        yield Reason(
            code="waits_for_process",
            sentence=f"It runs on {worker} since {moment(work.claimed_at)}, attempt {work.attempt}, and its step "
            f"{step} waits since {moment(since)} for one of the worker's processes for isolated tools.",
            hint="All are busy with other calls. The time of the step has not begun, that of the run has. More "
            "processes: ORDINAUT_ISOLATED_PROCESSES.",
            facts={**facts, "step": step, "step_since": shown(since), "is_suspect": work.is_suspect},
        )
        return
    at = f", in step {step} since {moment(since)}" if step else ", between two steps as of its last beat"
    alone = " It is a suspect: its last worker died, so it is tried alone." if work.is_suspect else ""
    yield Reason(
        code="running",
        sentence=f"It runs on {worker} since {moment(work.claimed_at)}, attempt {work.attempt}{at}.{alone}",
        hint=f"Its time is over at {moment(work.deadline_at)}." if work.deadline_at else "",
        facts={**facts, "step": step, "step_since": shown(since), "is_suspect": work.is_suspect},
    )
