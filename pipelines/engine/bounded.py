"""A container whose attempt may take so long: a line of work of its own, which is stopped when its time is over."""

from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any

from pipelines.engine.attempts import Attempt
from pipelines.engine.branches import Branch, Going
from pipelines.engine.steps import INTERPRETERS
from pipelines.engine.together import SideBySide
from pipelines.engine.ways_out import Stopped
from pipelines.errors import ErrorClass, PipelineError
from pipelines.expressions.durations import format_duration


async def run_bounded(attempt: Attempt, until: datetime, *, has_begun: bool) -> Any:
    """The container's result. Raises PipelineError: its own, or `timeout` where it has not ended by `until`; what it
    runs last has run then, and where that fails its error is the cause. `has_begun`: something in it, before now.

    What had ended before the run was taken up again counts, however late that is.
    """
    ends: list[Any] = []

    async def work(branch: Branch) -> Any:
        inside = replace(attempt, scope=attempt.scope.in_branch(branch))
        return await INTERPRETERS[type(attempt.step.body)](attempt.step.body, inside)

    def keep(_: int, end: Any) -> bool:
        ends.append(end)
        return False

    branch, clock = attempt.scope.branch, attempt.surroundings.clock
    begun = [0] if has_begun else []
    bounded = SideBySide([work], at_once=1, clock=clock, owner=branch, on_end=keep, until=until)
    if branch.going is Going.STOPPING:
        await bounded.give_up(begun)
    if branch.going is Going.LOOKING:
        return await work(branch)
    if clock.now() < until:
        carried_out: Coroutine[Any, Any, Any] = bounded.run([0])
    else:
        with suppress(Stopped):
            return await work(Branch(Going.LOOKING))
        carried_out = bounded.leave(begun)
    try:
        await carried_out
    except PipelineError as own:
        raise _timeout(attempt).followed_by(own) from own
    end = ends[0] if ends else _timeout(attempt)
    if isinstance(end, PipelineError):
        raise end
    return end


def _timeout(attempt: Attempt) -> PipelineError:
    assert attempt.step.timeout is not None
    took = format_duration(attempt.step.timeout)
    return PipelineError(code="timeout", error_class=ErrorClass.TIMEOUT, detail=f"it has not ended within {took}")
