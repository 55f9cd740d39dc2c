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
from pipelines.engine.branches import calm_down
from pipelines.engine.names import instant_text
from pipelines.engine.paths import shown_path
from pipelines.engine.ports import Failed, GivenUp, Invoker, Outcome, Parked, RunContext, Succeeded, ToolCall
from pipelines.engine.simulated import call_in_place
from pipelines.errors import ErrorClass, PipelineError
from pipelines.expressions import ExpressionError
from pipelines.simulation.trace import Trace
from pipelines.simulation.virtual_time import VirtualClock, VirtualLoop, call_after
from pipelines.tools.base import Catalog, ToolContext

# The same document with the same params gives the same trace.
_SEED = 0

CANCELED = PipelineError(code="canceled", error_class=ErrorClass.CANCELED, detail="the run was canceled")

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
    expressions: bool = False,
) -> dict[str, Any]:
    """Simulate one run and give its state, outputs, error, steps and asserts as JSON values.

    `expressions`: each step, and the answer for its outputs, has what was evaluated and what it gave.

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
    with trace.watch(), asyncio.Runner(loop_factory=VirtualLoop) as runner:
        ended = runner.run(going)
    return {
        "state": ended.state,
        "outputs": dict(ended.outputs),
        "error": None if ended.error is None else ended.error.as_dict(),
        "steps": trace.shown(expressions=expressions),
        "asserts": _asserts(pipeline, ended),
        **({"expressions": trace.of_no_step} if expressions else {}),
    }


def ended_as_wanted(answer: Mapping[str, Any], *, cancel_at: timedelta | None = None) -> bool:
    """Whether the run of a simulation's answer succeeded, or was canceled as asked, and every assert holds."""
    wanted = ("succeeded",) if cancel_at is None else ("succeeded", "canceled")
    return answer["state"] in wanted and all(each["ok"] for each in answer["asserts"])


async def _run(
    pipeline: Pipeline, context: RunContext, trace: Trace, clock: VirtualClock, cancel_at: timedelta | None
) -> Simulated:
    """Go on after each parking, as a worker would: a new execution that knows only the journal."""
    surroundings = Surroundings(
        context=context, journal=trace, invoke=_call_pure_tools(context.now), clock=clock, watch=trace.watch
    )
    rng = Random(_SEED)  # noqa: S311  # jitter, no secret
    cancellation = _Cancellation()
    if cancel_at is not None:
        call_after(cancel_at, cancellation.come)
    while True:
        execution = Execution(pipeline, surroundings, tuple(trace.entries), rng)
        cancellation.meet(execution)
        try:
            outcome = await execution.run()
            if not isinstance(outcome, Parked):
                return _ended(outcome, execution)
            await clock.sleep_until(outcome.until)
        except asyncio.CancelledError:
            if not cancellation.has_come:
                raise
            calm_down()  # it came while the run was parked


class _Cancellation:
    """Somebody cancels the run, whatever it is at."""

    def __init__(self) -> None:
        self.has_come = False
        self._execution: Execution | None = None

    def meet(self, execution: Execution) -> None:
        """From here on it is this execution that is canceled, at once where the cancellation has come."""
        self._execution = execution
        if self.has_come:
            execution.give_up(CANCELED)
        if (task := asyncio.current_task()) is not None:
            execution.carried_out_by(task)

    def come(self) -> None:
        self.has_come = True
        if self._execution is not None:
            self._execution.give_up(CANCELED)


def _ended(outcome: Outcome, execution: Execution) -> Simulated:
    match outcome:
        case Succeeded(outputs):
            return Simulated(state="succeeded", outputs=outputs, error=None, names=execution.names)
        case Failed(error):
            return Simulated(state="failed", outputs={}, error=error, names=execution.names)
        case GivenUp(error):
            return Simulated(state="canceled", outputs={}, error=error, names=execution.names)
        case Parked():
            raise AssertionError("a parked run has not ended")


def _call_pure_tools(start: datetime) -> Invoker:
    """The one kind of call that a simulation makes for real: `simulate: real` on a pure tool."""

    async def invoke(call: ToolCall) -> Any:
        assert call.spec.call is not None
        context = ToolContext(
            run_id=_NAME,
            task_id=_NAME,
            step_path=shown_path(call.path),
            attempt=call.attempt,
            idempotency_key=f"{_NAME}:{shown_path(call.path)}",
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
