"""Running steps whose errors are caught, and steps that run last."""

from typing import Any

from pipelines.document.nodes import CatchClause, TryBody
from pipelines.engine.attempts import Attempt
from pipelines.engine.branches import Going
from pipelines.engine.ways_out import RunOver, Stopped, Succeed
from pipelines.errors import ErrorClass, PipelineError


async def run_try(body: TryBody, attempt: Attempt) -> Any:
    """`{caught}`: the code of the error that a clause took, or null. Raises PipelineError where none did, or where the
    clause or the last steps failed themselves."""
    failure: PipelineError | None = None
    way_out: RunOver | Succeed | Stopped | None = None
    caught: str | None = None
    try:
        caught = await _run_guarded(body, attempt)
    except PipelineError as error:
        failure = error
    except RunOver as over:
        failure, way_out = over.error, over
    except Succeed as succeed:
        way_out = succeed
    except Stopped as stopped:
        if attempt.scope.branch.going is Going.LOOKING:
            raise
        way_out = stopped
    shown = failure if not isinstance(way_out, Stopped) else _canceled()
    own = await run_last(body.last, attempt, shown)
    if isinstance(way_out, Stopped):
        raise Stopped(way_out.failure or own)
    if own is not None and not isinstance(way_out, RunOver):
        raise own if failure is None else failure.followed_by(own)
    if way_out is not None:
        raise way_out
    if failure is not None:
        raise failure
    return {"caught": caught}


async def run_last(steps: Any, attempt: Attempt, shown: PipelineError | None) -> PipelineError | None:
    """The error of `steps`, which see the one that is `shown`; a branch that is stopped carries them out, too."""
    if not steps:
        return None
    scope = attempt.scope.in_the_end(None if shown is None else shown.as_dict())
    try:
        with scope.branch.sheltered():
            await attempt.run_steps(steps, scope)
    except PipelineError as own:
        return own
    return None


def _canceled() -> PipelineError:
    return PipelineError(code="canceled", error_class=ErrorClass.CANCELED, detail="this branch is given up")


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
