"""Running one branch of several."""

from typing import Any

from pipelines.document.nodes import SwitchBody
from pipelines.engine.attempts import Attempt
from pipelines.engine.values import holds


async def run_switch(body: SwitchBody, attempt: Attempt) -> Any:
    """`{case}`: the index of the case whose steps ran, "default", or null. Raises PipelineError.

    Conditions see what the branch began with: the same again when the run is resumed in the middle of it.
    """
    pointer = f"{attempt.step.pointer}/switch/cases"
    for index, case in enumerate(body.cases):
        if holds(case.when, attempt.names, f"{pointer}/{index}/when"):
            await attempt.run_steps(case.steps, attempt.scope)
            return {"case": index}
    if body.default:
        await attempt.run_steps(body.default, attempt.scope)
        return {"case": "default"}
    return {"case": None}
