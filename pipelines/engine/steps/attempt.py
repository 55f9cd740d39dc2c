"""Running steps whose errors are caught, and steps that run last."""

from typing import Any

from pipelines.document.nodes import CatchClause, TryBody
from pipelines.engine.attempts import Attempt
from pipelines.engine.ways_out import RunOver, Succeed
from pipelines.errors import ErrorClass, PipelineError


async def run_try(body: TryBody, attempt: Attempt) -> Any:
    """`{caught}`: the code of the error that a clause took, or null. Raises PipelineError where none did, or where the
    clause or the last steps failed themselves."""
    failure: PipelineError | None = None
    way_out: RunOver | Succeed | None = None
    caught: str | None = None
    try:
        caught = await _run_guarded(body, attempt)
    except PipelineError as error:
        failure = error
    except RunOver as over:
        failure, way_out = over.error, over
    except Succeed as succeed:
        way_out = succeed
    failure = await run_last(body.last, attempt, failure)
    if way_out is not None and (failure is None or isinstance(way_out, RunOver)):
        raise way_out
    if failure is not None:
        raise failure
    return {"caught": caught}


async def run_last(steps: Any, attempt: Attempt, failure: PipelineError | None) -> PipelineError | None:
    """The error that is left when `steps`, which see the `failure` so far, have run."""
    if not steps:
        return failure
    shown = None if failure is None else failure.as_dict()
    try:
        await attempt.run_steps(steps, attempt.scope.naming(error=shown))
    except PipelineError as own:
        return own if failure is None else failure.followed_by(own)
    return failure


async def _run_guarded(body: TryBody, attempt: Attempt) -> str | None:
    try:
        await attempt.run_steps(body.steps, attempt.scope)
    except PipelineError as error:
        clause = _clause_for(error, body.catches)
        if clause is None:
            raise
        scope = attempt.scope if clause.name is None else attempt.scope.naming(**{clause.name: error.as_dict()})
        await attempt.run_steps(clause.steps, scope)
        return error.code
    return None


def _clause_for(error: PipelineError, clauses: tuple[CatchClause, ...]) -> CatchClause | None:
    """The first that takes it; a cancellation is taken by none."""
    if error.error_class is ErrorClass.CANCELED:
        return None
    return next((clause for clause in clauses if clause.takes(error)), None)
