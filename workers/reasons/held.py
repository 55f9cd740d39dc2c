"""What keeps a run from being due: a gate, a wait, a time that has not come."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pipelines.engine.doubt import ABOUT_DOUBT
from scheduling.console.words import duration, moment
from scheduling.runs.models import DueWork, Run
from scheduling.runs.states import Gate
from scheduling.tasks.models import TaskState
from workers import conf
from workers.models import Question, Wait
from workers.reasons.reason import Reason, error_code, error_words, ids, shown
from workers.retries import parse_retry
from workers.settlement import TOOLS_MISSING
from workers.standing import Standing


def gated(standing: Standing, work: DueWork) -> Iterator[Reason]:
    task, run = standing.run.task, standing.run
    is_paused = task.state == TaskState.PAUSED and task.paused_at is not None
    is_held_by_pause = work.gate == Gate.OVERLAP and is_paused and run.created_at < task.paused_at
    if work.gate == Gate.PAUSED or is_held_by_pause:
        until = f" until {moment(task.paused_until)}" if task.paused_until else ""
        why = f": {task.pause_reason}" if task.pause_reason else ""
        yield Reason(
            code="task_paused",
            sentence=f"Its task is paused since {moment(task.paused_at)}{until}{why}",
            hint="Resume the task.",
            facts={
                "task": str(task.pk),
                "since": shown(task.paused_at),
                "until": shown(task.paused_until),
                "reason": task.pause_reason,
            },
        )
    if work.gate == Gate.OVERLAP and (standing.overlap.holders or standing.overlap.ahead or not is_held_by_pause):
        yield _behind_overlap(standing, is_held_by_pause=is_held_by_pause)
    elif work.gate == Gate.KEY and standing.key.is_full:
        yield _full_key(standing, work)
    elif work.gate == Gate.SUSPECT:
        yield Reason(
            code="suspect",
            sentence="Its last worker died while it ran, so it is tried alone: one such run a process."
            f" {work.death_count} deaths are charged to it, {conf.quarantine_after()} end it.",
            hint="A process of its queue that tries no other suspect keeps its next free slot for it.",
            facts={"deaths": work.death_count, "quarantined_at": conf.quarantine_after()},
        )


def _behind_overlap(standing: Standing, *, is_held_by_pause: bool) -> Reason:
    line, overlap = standing.overlap, standing.run.task.overlap
    holders = ids(line.holders)
    if holders:
        whom = f"run {holders[0]} of the task is live"
    elif is_held_by_pause:
        whom = "the pause holds those before it, too"
    else:
        whom = "it is let go by the sweep within a second"
    return Reason(
        code="overlap",
        sentence=f"It waits behind its task's overlap policy {overlap}: {whom}; {line.ahead_words} wait before it.",
        hint="Cancel the live run, or change the policy to allow.",
        facts={"overlap": overlap, "held_by": holders, "ahead": line.ahead, "ahead_is_at_least": line.is_at_least},
    )


def _full_key(standing: Standing, work: DueWork) -> Reason:
    line, holders = standing.key, ids(standing.key.holders)
    key = (work.concurrency_key or "").partition(":")[2]
    facts = {
        "key": key,
        "limit": line.limit,
        "held_by": holders[:5],
        "held_count": len(holders),
        "place": line.ahead + 1,
        "place_is_at_least": line.is_at_least,
    }
    return Reason(
        code="key_full",
        sentence=f"Its concurrency key {key} is at its limit: {len(holders)} of {line.limit} run, among them run"
        f" {holders[0]}. {line.ahead_words} wait before it.",
        hint="Raise the limit, or cancel a run that holds the key."
        if standing.run.task.concurrency_key
        else "Its task has no limit any more, but this run keeps the key that it was queued with: cancel a run that"
        " holds it, or give the task the key back with a higher limit.",
        facts=facts,
    )


def admitted_when_due(standing: Standing, work: DueWork) -> Iterator[Reason]:
    """Behind a key that has room it is for a moment, or while something else holds it up, which is said before."""
    if work.gate != Gate.KEY or standing.key.is_full:
        return
    line, key = standing.key, (work.concurrency_key or "").partition(":")[2]
    facts = {"key": key, "limit": line.limit, "held_count": len(line.holders), "place": line.ahead + 1}
    if standing.key_wait or work.available_at > standing.now:
        return
    yield Reason(
        code="key_has_room",
        sentence=f"Its concurrency key {key} has room ({len(line.holders)} of {line.limit} run): it is admitted within"
        " a second.",
        facts=facts,
    )


def waits(standing: Standing) -> Iterator[Reason]:
    for wait in standing.waits:
        facts: dict[str, Any] = {
            "step": wait.shown_path,
            "wake_at": shown(wait.wake_at),
            "since": shown(wait.created_at),
        }
        until = f" until {moment(wait.wake_at)}" if wait.wake_at else ""
        failed = standing.failed_tries.get(wait.path)
        match wait.kind:
            case Wait.Kind.TIMER if failed is not None:
                yield Reason(
                    code="step_retry_at",
                    sentence=f"Step {wait.shown_path} failed (try {failed.attempt}) and is tried again at"
                    f" {moment(wait.wake_at)}: {error_words(failed.error)}",
                    hint="It goes on by itself at that time; cancel the run where that is too late.",
                    facts={**facts, "tries": failed.attempt, "error": failed.error},
                )
            case Wait.Kind.TIMER:
                yield Reason(code="waiting_timer", sentence=f"Step {wait.shown_path} waits{until}.", facts=facts)


def questions(standing: Standing) -> Iterator[Reason]:
    for question in standing.questions:
        yield _WHAT_IS_ASKED[Question.Kind(question.kind)](question)


def _approval(question: Question) -> Reason:
    roles = question.asks.get("roles") or []
    whose = f" of one of the roles {', '.join(roles)}" if roles else ""
    who = "Somebody else than who started it has to decide,"
    if question.asks.get("about") == ABOUT_DOUBT:
        who = "Find out whether the call was made. Approve to have it made again, reject to fail the step;"
    return Reason(
        code="waiting_approval",
        sentence=f"Step {question.shown_path} waits for an approval{whose}{_until(question)}: {question.asks['title']}",
        hint=f"{who} in the console or by POST /api/v1/approvals/{question.pk}/approve.",
        facts={
            **_facts(question),
            "approval": str(question.pk),
            "title": question.asks["title"],
            "roles": roles,
        },
    )


def _event(question: Question) -> Reason:
    condition = question.asks.get("filter")
    which = f" for which {condition} holds" if condition else ""
    return Reason(
        code="waiting_event",
        sentence=f"Step {question.shown_path} waits for an event of {question.topic}{which}{_until(question)}.",
        hint="Publish it by POST /api/v1/events.",
        facts={**_facts(question), "topic": question.topic, "filter": condition},
    )


def _run(question: Question) -> Reason:
    task, child = question.asks["task"], question.subject_id
    words = f"for run {child} of the task {task}" if child else f"for a run of the task {task} to be started"
    return Reason(
        code="waiting_run",
        sentence=f"Step {question.shown_path} waits {words}{_until(question)}.",
        hint="See why that run does not end." if child else "A worker host starts it within a second.",
        facts={**_facts(question), "task": task, "run": None if child is None else str(child)},
    )


_WHAT_IS_ASKED: Mapping[Question.Kind, Callable[[Question], Reason]] = {
    Question.Kind.APPROVAL: _approval,
    Question.Kind.EVENT: _event,
    Question.Kind.RUN: _run,
}


def _until(question: Question) -> str:
    return f" until {moment(question.until)}" if question.until else ""


def _facts(question: Question) -> dict[str, Any]:
    return {
        "step": question.shown_path,
        "until": shown(question.until),
        "since": shown(question.created_at),
    }


def later(standing: Standing, work: DueWork) -> Iterator[Reason]:
    """What keeps it from being due, where that is not a wait of its own."""
    run, words = standing.run, error_words(standing.run.error)
    if work.available_at <= standing.now or standing.waits or standing.questions:
        return
    at, left = moment(work.available_at), duration(work.available_at - standing.now)
    facts: dict[str, Any] = {"available_at": shown(work.available_at), "attempt": work.attempt}
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
    elif error_code(run) == TOOLS_MISSING:
        yield Reason(
            code="tools_missing",
            sentence=f"{words[:1].upper()}{words[1:]} It is offered again at {at} (in {left}).",
            hint="Install the tool on a worker host of its queue.",
            facts={**facts, "error": run.error, "handbacks": work.handback_count},
        )
    elif work.attempt > 1:
        most = attempts_of(run)
        of = f" of {most}" if most else ""
        yield Reason(
            code="retry_at",
            sentence=f"It failed and is tried again at {at} (in {left}), attempt {work.attempt}{of}: {words}",
            hint="Snooze it for a nearer time, or cancel it.",
            facts={**facts, "max_attempts": most, "error": run.error},
        )
    else:
        yield Reason(code="due_later", sentence=f"It is due at {at} (in {left}).", facts=facts)


def _is_of_snooze(standing: Standing, work: DueWork) -> bool:
    """A retry or a hand-back after the snooze has set another time."""
    told = standing.snooze.after if standing.snooze is not None else None
    return isinstance(told, dict) and told.get("until") == shown(work.available_at)


def attempts_of(run: Run) -> int | None:
    """How many attempts the task's policy allows; None where the stored policy is damaged."""
    try:
        return parse_retry(run.task.retry).max_attempts
    except (ValueError, TypeError, AttributeError):
        return None
