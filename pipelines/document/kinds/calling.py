"""`run`: another task of the same agent, waited for or not."""

from pipelines.document.kinds.base import StepKind, WrittenStep
from pipelines.document.nodes import RunBody
from pipelines.expressions import compile_value


def _compile(step: WrittenStep) -> RunBody | None:
    if not step.has("run"):
        return None
    waits = step.source.get("wait", True)
    if not waits and "timeout" in step.source:
        step.refuse("timeout", "not_here", "nothing is waited for: there is no time-out", hint="wait: true")
    task = step.value("run")
    if not task.templates and not str(task.source).strip():
        step.refuse("run", "invalid_value", "run names the task by its key", hint="run: send-report")
    return RunBody(
        task=task,
        params=step.value("params") if step.has("params") else compile_value({}),
        waits=bool(waits),
    )


RUN = StepKind(
    name="run",
    keyword="run",
    fields={
        "run": {"type": "string", "description": "The key of the task, or an ${expression} that gives it."},
        "params": {"type": ["object", "string"], "description": "Params of the run. Strings may hold ${expressions}."},
        "wait": {"type": "boolean", "default": True, "description": "Whether to wait for its end and its outputs."},
    },
    required=("run",),
    compile=_compile,
)
