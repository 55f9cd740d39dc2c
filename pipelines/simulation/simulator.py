"""Run a document in virtual time, with simulated tools, and tell what happened."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from pipelines.document import DocumentInvalid, Pipeline, check_params, compile_document
from pipelines.document.parsing import refuse_unusable
from pipelines.engine import Execution, Surroundings
from pipelines.engine.names import instant_text
from pipelines.engine.ports import Failed, Invoker, Outcome, Parked, RunContext, Succeeded, ToolCall
from pipelines.engine.simulated import call_in_place
from pipelines.errors import ErrorClass, PipelineError
from pipelines.expressions import ExpressionError
from pipelines.simulation.trace import Trace
from pipelines.simulation.virtual_time import VirtualClock, VirtualLoop, cancel_after
from pipelines.tools.base import Catalog, ToolContext

# The same document with the same params gives the same trace.
_SEED = 0

# What stands for the ids that a real run would have.
_NAME = "simulation"


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulated:
    """How the simulated run ended. `state` is `succeeded`, `failed` or `canceled`."""

    state: str
    outputs: Mapping[str, Any]
    error: PipelineError | None
    names: Mapping[str, Any]


def simulate(
    document: Any,
    *,
    params: Mapping[str, Any] | None = None,
    event: Mapping[str, Any] | None = None,
    cancel_at: timedelta | None = None,
    catalog: Catalog,
    now: datetime | None = None,
) -> dict[str, Any]:
    """Simulate one run and give its state, outputs, error, steps and asserts as JSON values.

    A tool that the catalog lacks is taken where its step has a fixture. `now` is the run's instant (aware), the
    present one without it. Raises DocumentInvalid, also for params that the document refuses. Waits for no real time;
    must not be called from a running event loop.
    """
    pipeline = compile_document(document, catalog=catalog, accepts_fixtures=True)
    given = dict(params or {})
    refuse_unusable({"params": given, "event": event})
    if problems := check_params(pipeline, given):
        raise DocumentInvalid(problems)
    start = now or datetime.now(UTC)
    trace = Trace(start)
    going = _run(pipeline, _context(given, event, start), trace, VirtualClock(start), cancel_at)
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        ended = runner.run(going)
    return {
        "state": ended.state,
        "outputs": dict(ended.outputs),
        "error": None if ended.error is None else ended.error.as_dict(),
        "steps": trace.shown(),
        "asserts": _asserts(pipeline, ended),
    }


def ended_as_wanted(answer: Mapping[str, Any], *, cancel_at: timedelta | None = None) -> bool:
    """Whether the run of a simulation's answer succeeded, or was canceled as asked, and every assert holds."""
    wanted = ("succeeded",) if cancel_at is None else ("succeeded", "canceled")
    return answer["state"] in wanted and all(each["ok"] for each in answer["asserts"])


async def _run(
    pipeline: Pipeline, context: RunContext, trace: Trace, clock: VirtualClock, cancel_at: timedelta | None
) -> Simulated:
    """Go on after each parking, as a worker would: a new execution that knows only the journal."""
    task = asyncio.current_task()
    if cancel_at is not None and task is not None:
        cancel_after(task, cancel_at)
    surroundings = Surroundings(context=context, journal=trace, invoke=_call_pure_tools(context.now), clock=clock)
    rng = Random(_SEED)  # noqa: S311  # jitter, no secret
    while True:
        execution = Execution(pipeline, surroundings, tuple(trace.entries), rng)
        try:
            await clock.sleep(timedelta())
            outcome = await execution.run()
            if isinstance(outcome, Parked):
                await clock.sleep_until(outcome.until)
                continue
        except asyncio.CancelledError:
            for entry in execution.interrupted:
                await trace.record(entry, barrier=False)
            return _canceled(execution)
        return _ended(outcome, execution)


def _ended(outcome: Outcome, execution: Execution) -> Simulated:
    match outcome:
        case Succeeded(outputs):
            return Simulated(state="succeeded", outputs=outputs, error=None, names=execution.names)
        case Failed(error):
            return Simulated(state="failed", outputs={}, error=error, names=execution.names)
        case Parked():
            raise AssertionError("a parked run has not ended")


def _canceled(execution: Execution) -> Simulated:
    error = PipelineError(code="canceled", error_class=ErrorClass.CANCELED, detail="the run was canceled")
    return Simulated(state="canceled", outputs={}, error=error, names=execution.names)


def _call_pure_tools(start: datetime) -> Invoker:
    """The one kind of call that a simulation makes for real: `simulate: real` on a pure tool."""

    async def invoke(call: ToolCall) -> Any:
        assert call.spec.call is not None
        context = ToolContext(
            run_id=_NAME,
            task_id=_NAME,
            step_path=call.path,
            attempt=call.attempt,
            idempotency_key=f"{_NAME}:{call.path}",
            now=start,
            time_left=call.timeout,
            simulated=True,
        )
        return await call_in_place(call.spec.call, call, context)

    return invoke


def _context(params: Mapping[str, Any], event: Mapping[str, Any] | None, start: datetime) -> RunContext:
    run = {
        "id": _NAME,
        "attempt": 1,
        "scheduled_for": instant_text(start),
        "started_at": instant_text(start),
        "trigger": "manual" if event is None else "event",
        "simulated": True,
    }
    return RunContext(
        run=run,
        task={"id": _NAME, "title": "Simulation", "labels": {}},
        params=params,
        now=start,
        event=event,
        simulated=True,
        virtual_time=True,
    )


def _asserts(pipeline: Pipeline, ended: Simulated) -> list[dict[str, Any]]:
    error = None if ended.error is None else ended.error.as_dict()
    names = {**ended.names, "outputs": ended.outputs, "error": error}
    shown: list[dict[str, Any]] = []
    for assertion in pipeline.assertions:
        try:
            shown.append({"expression": assertion.text, "ok": assertion.expression.is_true(names)})
        except ExpressionError as problem:
            shown.append({"expression": assertion.text, "ok": False, "detail": problem.detail})
    return shown
