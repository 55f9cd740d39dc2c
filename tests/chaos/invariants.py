"""The rules that a round's history must obey, each a pure function from the history to complaints.

The names in brackets are those of the project's design: its invariants, and I1 to I14 of its reliability notes.
"""

import re
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from tests.chaos import effects as _registered  # noqa: F401 (its rules are judged, too)
from tests.chaos.history import History, Schedule
from tests.chaos.rules import INVARIANTS, SLACK, changes_of_work, invariant, worker_of

__all__ = ["INVARIANTS", "judge"]

# Entries that a deed has beside its own.
_BROUGHT_ALONG = {"task.create": ("schedule.create",)}
FINAL = frozenset({"succeeded", "failed", "canceled", "skipped"})


def judge(history: History, *, most: int = 10) -> dict[str, list[str]]:
    """The complaints of each invariant by its name, `most` at the most; an empty list where it holds."""
    verdict: dict[str, list[str]] = {}
    for each in INVARIANTS:
        complaints = list(each.check(history))
        verdict[each.name] = complaints[:most] + [f"... and {len(complaints) - most} more"] * (len(complaints) > most)
    return verdict


# Occurrences


@invariant("one run an occurrence", "no occurrence of a schedule has two runs [design, I1]")
def _one_run_an_occurrence(history: History) -> Iterator[str]:
    occurrences = Counter(
        (run.trigger, run.schedule, run.scheduled_for)
        for run in history.runs
        if run.trigger in ("schedule", "check") and run.schedule
    )
    yield from (
        f"{trigger} {schedule} at {at}: {n} runs" for (trigger, schedule, at), n in occurrences.items() if n > 1
    )


@invariant("nothing due is lost", "each occurrence before the mark has a run, or lies in a recorded miss [design, I2]")
def _nothing_due_is_lost(history: History) -> Iterator[str]:
    has_run: defaultdict[str, set[datetime]] = defaultdict(set)
    for run in history.runs:
        if run.trigger in ("schedule", "check") and run.schedule and run.scheduled_for:
            has_run[run.schedule].add(run.scheduled_for)
    missed = defaultdict(list)
    for miss in history.misses:
        missed[miss.schedule].append(miss)
    for schedule in history.schedules:
        for at in _occurrences(schedule):
            is_missed = any(miss.first_at <= at <= miss.last_at for miss in missed[schedule.id])
            if at not in has_run[schedule.id] and not is_missed:
                yield f"schedule {schedule.id} ({schedule.expression}) at {at}: neither a run nor a reason"
    yield from history.late_marks


def _occurrences(schedule: Schedule) -> Iterator[datetime]:
    """By arithmetic of our own: after the creation and before the mark."""
    if schedule.kind == "once":
        if schedule.state == "completed":
            yield datetime.fromisoformat(schedule.expression)
        return
    if schedule.kind not in ("interval", "condition", "rrule") or schedule.next_fire_at is None:
        return
    seconds = re.fullmatch(r"PT(\d+)S|FREQ=SECONDLY;INTERVAL=(\d+)", schedule.expression)
    assert seconds is not None, f"the load has a schedule that nobody judges: {schedule.expression}"
    period = timedelta(seconds=int(seconds[1] or seconds[2]))
    at = schedule.starts_at + ((schedule.created_at - schedule.starts_at) // period + 1) * period
    while at < schedule.next_fire_at:
        yield at
        at += period


@invariant("events fire once", "an event that was accepted has exactly one run of a listener [I11]")
def _events_fire_once(history: History) -> Iterator[str]:
    if not history.listener:
        return
    runs = Counter(run.event for run in history.runs if run.trigger == "event" and run.task == history.listener)
    published = {event.id for event in history.events if event.topic == history.topic}
    for event in published:
        if runs[event] != 1:
            yield f"event {event}: {runs[event]} runs of its listener"
    for action in history.actions:
        if action.action == "event.publish" and action.is_accepted and action.reply.get("id") not in published:
            yield f"event {action.reply.get('id')} was accepted and is gone"


@invariant("ends are followed once", "each end of a followed run starts its follower exactly once [I11]")
def _ends_are_followed_once(history: History) -> Iterator[str]:
    if not history.follower:
        return
    told: defaultdict[str, list[str]] = defaultdict(list)
    for event in history.events:
        if event.about_run and event.topic.startswith("run."):
            told[event.about_run].append(event.id)
    followers = Counter(run.event for run in history.runs if run.trigger == "after" and run.task == history.follower)
    redriven = {action.reply.get("id") for action in history.actions if action.action == "run.retry"}
    for run in history.runs:
        if run.task != history.followed or run.state not in FINAL - {"skipped"}:
            continue
        ends = told[run.id]
        if not ends or (len(ends) > 1 and run.id not in redriven):
            yield f"run {run.id}: its end was told {len(ends)} times"
        yield from (f"the end of run {run.id}: {followers[end]} followers" for end in ends if followers[end] != 1)


# Leases


@invariant("one lease a run", "no lease is taken from a holder, and no epoch comes back or is two holders' [I3]")
def _one_lease_a_run(history: History) -> Iterator[str]:
    used: dict[int, str] = {}  # by whom: the runs of one claim have the same epoch
    had: set[tuple[str, int]] = set()
    for change in changes_of_work(history):
        if change.owner is None:
            continue
        if change.was_owner not in (None, change.owner):
            yield f"run {change.run}: leased to {change.owner} while {change.was_owner} held it (change {change.id})"
        if change.was_owner == change.owner and change.epoch == change.was_epoch:
            continue
        epoch = change.epoch or 0
        if used.setdefault(epoch, change.owner) != change.owner or (change.run, epoch) in had:
            yield f"run {change.run}: epoch {epoch} of {change.owner} was {used[epoch]}'s already"
        had.add((change.run, epoch))
        if change.was_epoch is not None and change.epoch is not None and change.epoch <= change.was_epoch:
            yield f"run {change.run}: epoch {change.epoch} after {change.was_epoch}"


@invariant("only the holder writes", "a process without the lease journals no step and settles no run [design, I4]")
def _only_the_holder_writes(history: History) -> Iterator[str]:
    held_in = {
        (change.run, change.xid): change.was_owner
        for change in reversed(changes_of_work(history))
        if change.op != "INSERT" and change.was_owner is not None
    }
    owner: dict[str, str | None] = {}
    for change in history.changes:
        if change.what == "work":
            owner[change.run] = change.owner
            continue
        writer = worker_of(change)
        if writer is None:
            continue
        holder = held_in.get((change.run, change.xid), owner.get(change.run))
        if holder is None or history.workers.get(holder) != writer:
            done = f"step {change.path} {change.state}" if change.what == "step" else f"state {change.state}"
            yield f"run {change.run}: {done} written by process {writer}; the lease was {holder}'s (change {change.id})"


@invariant("one key, its limit", "the holders of a concurrency key never exceed its limit [design, I10]")
def _keys_keep_their_limit(history: History) -> Iterator[str]:
    holders: defaultdict[str, set[str]] = defaultdict(set)
    for change in changes_of_work(history):
        if change.key is None:
            continue
        if change.is_live and change.gate in (None, "suspect"):
            holders[change.key].add(change.run)
            limit = history.limits.get(change.key, 0)
            if len(holders[change.key]) > limit:
                yield f"key {change.key}: {len(holders[change.key])} of {limit} at change {change.id} ({change.at})"
        else:
            holders[change.key].discard(change.run)


@invariant("a rate is kept", "no queue starts more runs than its token bucket allows, whoever claims them [design]")
def _rates_are_kept(history: History) -> Iterator[str]:
    moves: defaultdict[str, list[tuple[float, int, str]]] = defaultdict(list)
    for change in changes_of_work(history):
        queue = change.queue or ""
        if change.owner is not None and change.owner != change.was_owner and change.claimed_at is not None:
            moves[queue].append((change.claimed_at.timestamp(), -1, change.run))
        elif change.owner is None and change.was_owner is not None and change.app.endswith(" claims"):
            moves[queue].append((change.at.timestamp(), 1, change.run))  # given back without a start, with its token
    for queue, (a_second, at_once) in history.rates.items():
        tokens, last = at_once, 0.0
        given_back = sorted(at for at, move, _ in moves[queue] if move > 0)
        for at, move, run in sorted(moves[queue]):
            tokens = min(at_once, tokens + (at - last) * a_second + max(move, 0)) + min(move, 0)
            last = at
            # A claim is dated to the beginning of its transaction: what it waited for was given back a little later.
            soon = bisect_right(given_back, at + SLACK) - bisect_right(given_back, at)
            if move < 0 and tokens + soon < -1e-3:
                yield f"queue {queue}: run {run} started at {at:.3f} with {tokens + 1:.3f} tokens"


@invariant("no overlap", "a task that forbids overlap never has two runs live [design]")
def _no_overlap(history: History) -> Iterator[str]:
    live: defaultdict[str, set[str]] = defaultdict(set)
    for change in changes_of_work(history):
        if change.task is None:
            continue
        if change.is_live and change.is_exclusive and change.gate != "overlap":
            live[change.task].add(change.run)
            if len(live[change.task]) > 1:
                yield f"task {change.task}: runs {sorted(live[change.task])} at change {change.id}"
        else:
            live[change.task].discard(change.run)


# Ends of runs


@invariant("every run ends", "when all is quiet, no run is live but what waits for a stated reason [design, I7]")
def _every_run_ends(history: History) -> Iterator[str]:
    paused = {task.id for task in history.tasks if task.state == "paused"}
    for work in history.work:
        if not (work.gate == "paused" and work.task in paused):
            yield f"run {work.run} is still there: gate {work.gate}, lease {work.owner}, due {work.available_at}"
    live = {work.run for work in history.work}
    for run in history.runs:
        if run.state not in FINAL and run.id not in live:
            yield f"run {run.id} is {run.state} and nothing will take it up"
        if run.state in FINAL and run.finished_at is None and run.state != "skipped":
            yield f"run {run.id} is {run.state} and has no end"
    yield from history.surprises


@invariant("attempts are bounded", "no run is tried more often than its policy allows, nor failed without a cause [I6]")
def _attempts_are_bounded(history: History) -> Iterator[str]:
    most = {task.id: task.max_attempts for task in history.tasks}
    for run in history.runs:
        if run.attempt > most.get(run.task, 1):
            yield f"run {run.id}: attempt {run.attempt} of {most.get(run.task, 1)}"
        if (run.state == "failed") != bool(run.cause):
            yield f"run {run.id} is {run.state} with the cause {run.cause!r}"


@invariant("a redrive tries again", "a run that was redriven has tried the step that failed once more [design]")
def _a_redrive_tries_again(history: History) -> Iterator[str]:
    redrives = Counter(
        str(action.reply.get("id"))
        for action in history.actions
        if action.action == "run.retry" and action.is_accepted and _failed_in_a_step(action.reply)
    )
    ended = {run.id for run in history.runs if run.state in ("succeeded", "failed")}
    repeats: Counter[str] = Counter()
    for step in history.steps:
        repeats[step.run] += step.attempt > 1
    for run, n in redrives.items():
        if run in ended and repeats[run] < n:
            yield f"run {run}: redriven {n} times, and {repeats[run]} steps were tried again"


def _failed_in_a_step(run: Mapping[str, Any]) -> bool:
    """False for a run that no step has failed, as one whose workers died: it may have nothing to try *again*."""
    return (run.get("error") or {}).get("step", "") is not None


@invariant("quarantine is for poison", "a run is quarantined after the deaths that the setting allows, not before [I6]")
def _quarantine_is_for_poison(history: History) -> Iterator[str]:
    deaths: Counter[str] = Counter()  # those that it is charged with: of the process that tried it alone
    suspects: set[str] = set()
    for change in changes_of_work(history):
        is_taken = change.was_owner is not None and (change.gate == "suspect" or not change.is_live)
        deaths[change.run] += is_taken and change.run in suspects and worker_of(change) is None
        if change.op == "INSERT":
            deaths[change.run] = 0
        if change.gate == "suspect":
            suspects.add(change.run)
        elif change.owner is None and change.is_live:
            suspects.discard(change.run)
    for run in history.runs:
        if run.cause == "quarantined" and deaths[run.id] < history.quarantine_after:
            yield f"run {run.id} was quarantined after {deaths[run.id]} deaths of processes that tried it alone"


# People and agents


@invariant("what was acknowledged stays", "whatever the API accepted is there after every crash [I8]")
def _acknowledged_stays(history: History) -> Iterator[str]:
    there = {
        "run.": {run.id for run in history.runs},
        "task.": {task.id for task in history.tasks},
        "schedule.": {schedule.id for schedule in history.schedules},
        "event.": {event.id for event in history.events},
    }
    deleted = {audit.object for audit in history.audits if audit.action == "schedule.delete"}
    for action in history.actions:
        if not action.is_accepted or action.action == "schedule.delete":
            continue
        id_ = str(action.reply.get("id"))
        for prefix, ids in there.items():
            if action.action.startswith(prefix) and id_ not in ids | deleted:
                yield f"{action.action} {action.request} was answered {action.status} and {id_} is gone"


@invariant("one effect a request", "a request that is sent again has its effect once, a refused one none [I8, I9]")
def _one_effect_a_request(history: History) -> Iterator[str]:
    effects = Counter((audit.request, audit.action) for audit in history.audits)
    for action in history.actions:
        n = effects[action.request, action.action]
        if n > 1:
            yield f"{action.action} {action.request}, sent {action.tries} times, had {n} effects"
        if n and not action.is_accepted:
            yield f"{action.action} {action.request} was answered {action.status} and had its effect"


@invariant(
    "everything is in the audit trail", "each deed of agents and operators has its entry, and no other does [I14]"
)
def _everything_is_audited(history: History) -> Iterator[str]:
    entries = {(audit.request, audit.action, audit.actor_kind) for audit in history.audits}
    for action in history.actions:
        is_there = (action.request, action.action, action.actor) in entries
        if action.is_accepted and action.must_change and not is_there:
            yield f"{action.action} {action.request} was answered {action.status} and is not in the trail"
        if not action.status:
            yield f"{action.action} {action.request} was never answered"
    done = {(action.request, action.actor): action.action for action in history.actions}
    for audit in history.audits:
        if audit.actor_kind not in ("agent", "operator"):
            continue
        deed = done.get((audit.request, audit.actor_kind), "")
        if audit.action != deed and audit.action not in _BROUGHT_ALONG.get(deed, ()):
            yield f"{audit.action} of {audit.object} is in the trail and no {audit.actor_kind} did it"


@invariant("agents are kept apart", "a run belongs to the agent of its task [I13]")
def _agents_are_kept_apart(history: History) -> Iterator[str]:
    agents = {task.id: task.agent for task in history.tasks}
    for run in history.runs:
        if agents.get(run.task) != run.agent:
            yield f"run {run.id} of task {run.task} belongs to {run.agent}"


@invariant("the database is whole", "the queries of tests/invariants.py find nothing [design]")
def _the_database_is_whole(history: History) -> Iterator[str]:
    yield from (f"{name}: {row}" for name, rows in history.integrity.items() for row in rows)
