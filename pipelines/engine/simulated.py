"""What a simulated attempt answers: the step's fixture, else the tool's own simulation, its examples, its schema."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

from pipelines.document.moments import instant_after
from pipelines.document.nodes import Fixture
from pipelines.engine.examples import smallest_instance
from pipelines.engine.ports import Clock, ToolCall
from pipelines.engine.values import holds, render
from pipelines.errors import ErrorClass, PipelineError
from pipelines.expressions.durations import format_duration
from pipelines.tools.base import Call, ToolContext
from pipelines.tools.own_task import in_own_task, is_from_outside
from pipelines.tools.plain_text import message_of
from pipelines.tools.storable_errors import storable_error, told_by


def choose_fixture(
    fixtures: Sequence[Fixture], context: Mapping[str, Any], pointer: str, *, attempt: int
) -> Fixture | None:
    """The fixture of this attempt, the last one repeated; those whose `when` holds come before those without one."""
    held = [fixture for fixture in fixtures if fixture.when is not None and holds(fixture.when, context, pointer)]
    candidates = held or [fixture for fixture in fixtures if fixture.when is None]
    return candidates[min(attempt, len(candidates)) - 1] if candidates else None


async def fixture_result(
    fixture: Fixture,
    context: Mapping[str, Any],
    pointer: str,
    *,
    timeout: timedelta | None,
    clock: Clock | None,
) -> Any:
    """The output of a fixture. Raises PipelineError: the fixture's error, or `timeout` where its delay is longer.

    The delay is slept on `clock`; without a clock it only decides about the time-out.
    """
    if clock is not None and fixture.delay:
        await _let_pass(fixture.delay if timeout is None else min(fixture.delay, timeout), clock, pointer)
    if timeout is not None and fixture.delay > timeout:
        raise PipelineError(
            code="timeout",
            error_class=ErrorClass.TIMEOUT,
            detail=f"simulated to take {format_duration(fixture.delay)}, longer than {format_duration(timeout)}",
        )
    if fixture.error is not None:
        raise _fixture_error(render(fixture.error, context, f"{pointer}/error"))
    return render(fixture.output, context, f"{pointer}/output")


async def _let_pass(length: timedelta, clock: Clock, pointer: str) -> None:
    try:
        instant_after(clock.now(), length)
    except ValueError as error:
        raise PipelineError("bad_argument", ErrorClass.VALIDATION, str(error), pointer=pointer) from error
    await clock.sleep(length)


async def simulated_result(call: ToolCall, context: ToolContext) -> Any:
    """What the tool answers without a fixture. Raises PipelineError where its own simulation fails."""
    spec = call.spec
    if spec.simulate is not None:
        return await call_in_place(spec.simulate, call, context)
    if spec.examples:
        fitting = (example for example in spec.examples if example.get("input") == call.input)
        return next(fitting, spec.examples[0]).get("output")
    return smallest_instance(spec.output_schema)


async def call_in_place(function: Call, call: ToolCall, context: ToolContext) -> Any:
    """Call a tool's code in this process: its simulation, or a pure tool that a simulated run uses for real.

    Raises PipelineError, which can be stored, for whatever it raises.
    """
    try:
        return await in_own_task(partial(function, context, **call.input), name=call.spec.name)  # Note [Own task]
    except (Exception, asyncio.CancelledError) as error:
        if is_from_outside(error):
            raise
        raise told_by(error) or _simulation_failed(call.spec.name, error) from error


def _simulation_failed(name: str, error: BaseException) -> PipelineError:
    """A tool's own code: whatever it raises is the step's failure and no fault of the engine."""
    detail = f"{name}, simulated, raised {type(error).__name__}: {message_of(error)}"
    return storable_error(PipelineError("simulation_failed", ErrorClass.PERMANENT, detail))


def _fixture_error(error: Mapping[str, Any]) -> PipelineError:
    return PipelineError(
        code=str(error["code"]),
        error_class=ErrorClass(error.get("class", ErrorClass.PERMANENT)),
        detail=str(error.get("detail", error["code"])),
    )
