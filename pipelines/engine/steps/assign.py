"""Evaluating an object."""

from typing import Any

from pipelines.document.nodes import SetBody
from pipelines.engine.attempts import Attempt
from pipelines.engine.values import render


async def run_set(body: SetBody, attempt: Attempt) -> Any:
    """The object with its strings rendered. Raises PipelineError."""
    return render(body.values, attempt.names, f"{attempt.step.pointer}/set")
