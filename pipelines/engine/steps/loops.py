"""Running steps again and again: once for each item of a list, or as long as a condition holds."""

from typing import Any

from pipelines.document.nodes import ForEachBody, WhileBody
from pipelines.engine.attempts import Attempt
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
    results: list[Any] = []
    failures = 0
    for index, item in enumerate(items):
        try:
            results.append(await _iteration(body, attempt, index, item))
        except PipelineError as error:
            failures += 1
            if failures > body.max_failures or error.error_class is ErrorClass.CANCELED:
                raise
            results.append({"error": error.as_dict()})
    return results


async def _iteration(body: ForEachBody, attempt: Attempt, index: int, item: Any) -> Any:
    scope = attempt.scope.iteration(attempt.step, index, hidden="item", **{body.item: item})
    last = await attempt.run_steps(body.steps, scope)
    if body.collect is None:
        return last
    try:
        return render(body.collect, scope.names, f"{attempt.step.pointer}/collect")
    except PipelineError as error:
        raise attempt.step.blame(error, attempt=attempt.number) from error


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
