"""Ending the run: badly, by raising the document's own error, or well, by what `succeed` leaves."""

from typing import Any, NoReturn

from pipelines.document.nodes import FailBody, SucceedBody
from pipelines.engine.attempts import Attempt
from pipelines.engine.values import render
from pipelines.errors import PipelineError


async def run_fail(body: FailBody, attempt: Attempt) -> NoReturn:
    """Raises the PipelineError that the document names."""
    message = render(body.message, attempt.names, f"{attempt.step.pointer}/fail/message")
    raise PipelineError(code=body.code, error_class=body.error_class, detail=str(message))


async def run_succeed(body: SucceedBody, attempt: Attempt) -> Any:
    """The outputs that replace the document's, null where those are to be evaluated."""
    if body.outputs is None:
        return None
    return render(body.outputs, attempt.names, f"{attempt.step.pointer}/succeed/outputs")
