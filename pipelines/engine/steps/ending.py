"""Ending the run: badly, by raising the document's own error, or well, by what `succeed` leaves."""

from typing import Any, NoReturn

from pipelines.document.nodes import FailBody, SucceedBody
from pipelines.engine.attempts import Attempt
from pipelines.engine.values import render
from pipelines.errors import PipelineError
from pipelines.expressions.values import to_text


async def run_fail(body: FailBody, attempt: Attempt) -> NoReturn:
    """Raises the PipelineError that the document names; a message that is null says what none says, the code."""
    message = render(body.message, attempt.names, f"{attempt.step.pointer}/fail/message")
    detail = body.code if message is None else to_text(message)
    raise PipelineError(code=body.code, error_class=body.error_class, detail=detail)


async def run_succeed(body: SucceedBody, attempt: Attempt) -> Any:
    """The outputs that replace the document's, null where those are to be evaluated."""
    if body.outputs is None:
        return None
    return render(body.outputs, attempt.names, f"{attempt.step.pointer}/succeed/outputs")
