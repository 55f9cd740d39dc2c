"""Running another task. Who answers starts it, once, and tells how it has ended
(`docs/decisions/0012-events-and-runs-in-a-run.md`)."""

from collections.abc import Mapping
from typing import Any

from pipelines.document.limits import MAX_WAIT
from pipelines.document.moments import read_instant
from pipelines.document.nodes import RunBody
from pipelines.engine.attempts import Attempt
from pipelines.engine.names import instant_text
from pipelines.engine.ports import Question, QuestionKind
from pipelines.engine.questions import until_answered
from pipelines.engine.simulated import fixture_result
from pipelines.engine.values import render
from pipelines.engine.ways_out import Wait
from pipelines.errors import ErrorClass, PipelineError
from pipelines.expressions.durations import format_duration

_SIMULATED_ID = "simulated"


async def run_run(body: RunBody, attempt: Attempt) -> Any:
    """The other run's outputs, or its id where it is not waited for. Raises Wait until there is an answer, and
    PipelineError where it could not be started, did not succeed, or has not ended in time."""
    if attempt.begun is None:
        attempt.input = _input(body, attempt)
    if attempt.surroundings.context.simulated:
        return await _simulated_outputs(body, attempt)
    answers, until = attempt.surroundings.answers, read_instant(attempt.input["until"])
    answer = answers.to(attempt.path, attempt.number)
    if answer is None and attempt.step.timeout is None and answers.are_final(until):
        raise _too_late(attempt)
    if answer is None:
        asks = {
            "task": attempt.input["run"],
            "params": attempt.input["params"],
            "waits": body.waits,
            "pointer": attempt.step.pointer,
        }
        wake_at = until_answered(until, attempt.surroundings.clock.now())
        ends = None if attempt.step.timeout is None else until
        raise Wait(wake_at, Question(kind=QuestionKind.RUN, until=ends, asks=asks))
    if "error" in answer:
        raise PipelineError.of(answer["error"])
    if "run" not in answer:
        raise _too_late(attempt)
    return _outputs(answer["run"], body, attempt)


def _input(body: RunBody, attempt: Attempt) -> dict[str, Any]:
    pointer = attempt.step.pointer
    task = render(body.task, attempt.names, f"{pointer}/run")
    params = render(body.params, attempt.names, f"{pointer}/params")
    if not isinstance(task, str) or not task.strip():
        raise _bad(f"run names a task by its key, and this is {_kind_of(task)}", f"{pointer}/run")
    if not isinstance(params, Mapping):
        raise _bad(f"the params of a run are an object, and this is {_kind_of(params)}", f"{pointer}/params")
    until = attempt.ends_after(attempt.step.timeout, f"{pointer}/timeout")
    return {"run": task, "params": params, "until": instant_text(until)}


def _outputs(ended: Mapping[str, Any], body: RunBody, attempt: Attempt) -> Any:
    """What the step comes to by the other run's end."""
    if not body.waits:
        return {"run_id": ended["id"]}
    state, task = ended["state"], attempt.input["run"]
    if state == "succeeded":
        return ended.get("outputs") or {}
    if state == "failed":
        cause = ended.get("error") or {}
        why = f": {cause['detail']}" if cause.get("detail") else ""
        error_class = ErrorClass(cause.get("class", ErrorClass.PERMANENT))
        raise PipelineError("run_failed", error_class, f"the run of {task} failed{why}", cause=cause or None)
    if state == "skipped":
        why = ended.get("skip_reason") or "its task"
        detail = f"the run of {task} was skipped ({why})"
        raise PipelineError("run_skipped", ErrorClass.TRANSIENT, detail)
    raise PipelineError("run_canceled", ErrorClass.PERMANENT, f"the run of {task} was {state}")


def _too_late(attempt: Attempt) -> PipelineError:
    longest = MAX_WAIT if attempt.step.timeout is None else attempt.step.timeout
    took = format_duration(longest)
    return PipelineError(
        "timeout", ErrorClass.TIMEOUT, f"the run of {attempt.input['run']} has not ended within {took}; it is canceled"
    )


async def _simulated_outputs(body: RunBody, attempt: Attempt) -> Any:
    """What the fixture says; nothing is started."""
    attempt.is_simulated = True
    if (fixture := attempt.fixture) is None:
        return {} if body.waits else {"run_id": _SIMULATED_ID}
    pointer, clock = f"{attempt.step.pointer}/simulate", attempt.fixture_clock
    return await fixture_result(fixture, attempt.names, pointer, timeout=attempt.step.timeout, clock=clock)


def _kind_of(value: Any) -> str:
    return "empty" if isinstance(value, str) else "null" if value is None else f"a {type(value).__name__}"


def _bad(detail: str, pointer: str) -> PipelineError:
    return PipelineError(code="bad_argument", error_class=ErrorClass.VALIDATION, detail=detail, pointer=pointer)
