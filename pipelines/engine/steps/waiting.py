"""Waiting: the end is decided when the step starts, and kept with it."""

from datetime import timedelta
from typing import Any

from pipelines.document.moments import instant_after, read_instant, read_length, require_near
from pipelines.document.nodes import WaitBody
from pipelines.engine.attempts import Attempt
from pipelines.engine.names import instant_text
from pipelines.engine.values import render
from pipelines.engine.ways_out import Wait
from pipelines.errors import ErrorClass, PipelineError


async def run_wait(body: WaitBody, attempt: Attempt) -> Any:
    """The instant at which the wait ended. Raises Wait where that has not come, PipelineError where it is none."""
    attempt.is_simulated = attempt.surroundings.context.simulated
    if attempt.begun is None:
        attempt.input = {"until": instant_text(_end(body, attempt))}
    until = read_instant(attempt.input["until"])
    if until - attempt.surroundings.clock.now() > timedelta():
        raise Wait(until)
    return attempt.input


def _end(body: WaitBody, attempt: Attempt) -> Any:
    name = "for" if body.is_length else "until"
    pointer = f"{attempt.step.pointer}/wait/{name}"
    value = render(body.end, attempt.names, pointer)
    try:
        if body.is_length:
            return instant_after(attempt.started_at, read_length(value))
        return require_near(read_instant(value), attempt.started_at)
    except ValueError as error:
        raise PipelineError(
            code="bad_argument", error_class=ErrorClass.VALIDATION, detail=str(error), pointer=pointer
        ) from error
