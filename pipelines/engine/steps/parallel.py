"""Running branches side by side."""

from typing import Any

from pipelines.document.nodes import ParallelBody
from pipelines.engine.attempts import Attempt, Line
from pipelines.errors import PipelineError


async def run_parallel(body: ParallelBody, attempt: Attempt) -> Any:
    """The last result of each branch by its name, or `{winner, result}` where any will do. Raises PipelineError: the
    first failure of a branch, or `all_failed`, or the failure of what a stopped branch runs last."""
    names = list(body.branches)
    results: dict[str, Any] = {}
    errors: dict[str, PipelineError] = {}

    def on_end(place: int, end: Any) -> bool:
        if isinstance(end, PipelineError):
            errors[names[place]] = end
            return not body.is_any
        results[names[place]] = end
        return body.is_any

    lines = [Line(steps, attempt.scope) for steps in body.branches.values()]
    try:
        await attempt.run_together(lines, attempt.scope, at_once=len(lines), on_end=on_end)
    except PipelineError as own:
        first = next(iter(errors.values()), None)
        raise (own if first is None or body.is_any else first.followed_by(own)) from own
    if body.is_any:
        if not results:
            raise _all_failed(errors)
        ((winner, result),) = results.items()
        return {"winner": winner, "result": result}
    if errors:
        raise next(iter(errors.values()))
    return {name: results[name] for name in names}


def _all_failed(errors: dict[str, PipelineError]) -> PipelineError:
    """Of the class of the last one; the causes are all of them, by branch."""
    *_, last = errors.values()
    return PipelineError(
        code="all_failed",
        error_class=last.error_class,
        detail=f"all branches have failed: {', '.join(errors)}",
        cause={name: error.as_dict() for name, error in errors.items()},
    )
