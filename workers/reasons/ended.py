"""How a run ended."""

from scheduling.console.words import moment
from scheduling.runs.states import RunState
from workers.reasons.reason import Reason, error_words, shown
from workers.standing import Standing


def ended(standing: Standing) -> Reason:
    run = standing.run
    facts = {"state": run.state, "cause": run.cause or None, "finished_at": shown(run.finished_at)}
    match run.state:
        case RunState.SUCCEEDED:
            return Reason(code="succeeded", sentence=f"It succeeded at {moment(run.finished_at)}.", facts=facts)
        case RunState.FAILED:
            error = error_words(run.error)
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
                facts={**facts, "key": run.task.dedupe_key, "window": shown(run.task.dedupe_window)},
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
