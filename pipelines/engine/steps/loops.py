"""Running steps again and again: once for each item of a list, or as long as a condition holds."""

from typing import Any

from pipelines.document.nodes import ForEachBody, WhileBody
from pipelines.engine.attempts import Attempt, Line
from pipelines.engine.scopes import Scope
from pipelines.engine.values import holds, render
from pipelines.errors import ErrorClass, PipelineError


async def run_for_each(body: ForEachBody, attempt: Attempt) -> list[Any]:
    """What the iterations contribute, in the order of the list. Raises PipelineError: `not_a_list`, and the failure of
    an iteration past those that may fail."""
    items = render(body.items, attempt.names, f"{attempt.step.pointer}/for_each")
    if not isinstance(items, list):
        raise PipelineError(
            code="not_a_list",
            error_class=ErrorClass.VALIDATION,
            detail=f"for_each goes over a list, not over {_type_of(items)}",
            pointer=f"{attempt.step.pointer}/for_each",
        )
    kept = _Kept(body, len(items))
    lines = [_line(body, attempt, index, item) for index, item in enumerate(items)]
    if body.concurrency == 1:
        await _one_by_one(lines, attempt, kept)
    else:
        try:
            await attempt.run_together(lines, attempt.scope, at_once=body.concurrency, on_end=kept.take)
        except PipelineError as own:
            raise (own if kept.failure is None else kept.failure.followed_by(own)) from own
    if kept.failure is not None:
        raise kept.failure
    return kept.results


class _Kept:
    """What the iterations that have ended contribute, and the failure that is one too many."""

    def __init__(self, body: ForEachBody, count: int) -> None:
        self.results: list[Any] = [None] * count
        self.failure: PipelineError | None = None
        self._left = body.max_failures

    def take(self, index: int, end: Any) -> bool:
        """Keep how an iteration has ended; True where the others need not."""
        if not isinstance(end, PipelineError):
            self.results[index] = end
            return False
        self._left -= 1
        if self._left < 0 or end.error_class is ErrorClass.CANCELED:
            self.failure = end
            return True
        self.results[index] = {"error": end.as_dict()}
        return False


async def _one_by_one(lines: list[Line], attempt: Attempt, kept: _Kept) -> None:
    for index, line in enumerate(lines):
        end: Any
        try:
            end = line.finish(await attempt.run_steps(line.steps, line.scope), line.scope)
        except PipelineError as error:
            end = error
        if kept.take(index, end):
            return


def _line(body: ForEachBody, attempt: Attempt, index: int, item: Any) -> Line:
    scope = attempt.scope.iteration(attempt.step, index, hidden="item", **{body.item: item})

    def contribution(last: Any, scope: Scope) -> Any:
        if body.collect is None:
            return last
        try:
            return render(body.collect, scope.names, f"{attempt.step.pointer}/collect")
        except PipelineError as error:
            raise attempt.step.blame(error, attempt=attempt.number) from error

    return Line(body.steps, scope, contribution)


async def run_while(body: WhileBody, attempt: Attempt) -> dict[str, Any]:
    """`{iterations, last}`: how many there were, and the last step's result of the last one. Raises PipelineError."""
    before: Scope | None = None
    last = None
    index = 0
    while True:
        scope = attempt.scope.iteration(attempt.step, index, before=before)
        if not holds(body.condition, scope.names, f"{attempt.step.pointer}/while"):
            return {"iterations": index, "last": last}
        if index == body.max_iterations:
            raise PipelineError(
                code="max_iterations",
                error_class=ErrorClass.LIMIT,
                detail=f"the condition still holds after {index} iterations, which are all that it may have",
                pointer=f"{attempt.step.pointer}/max_iterations",
            )
        last = await attempt.run_steps(body.steps, scope)
        before, index = scope, index + 1


def _type_of(value: Any) -> str:
    """As JSON calls it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    return {str: "a string", int: "a number", float: "a number", dict: "an object"}[type(value)]
