"""Calling a tool: resolve and check the input, say what is intended, call, check the result."""

from collections.abc import Mapping
from typing import Any

from pipelines.document.nodes import ToolBody
from pipelines.engine import sealed
from pipelines.engine.attempts import Attempt
from pipelines.engine.paths import shown_path
from pipelines.engine.ports import ToolCall
from pipelines.engine.simulated import fixture_result, simulated_result
from pipelines.engine.values import check_schema, portable, render
from pipelines.tools.base import SideEffect, ToolContext


async def run_tool(body: ToolBody, attempt: Attempt) -> Any:
    """The tool's result. Raises PipelineError for every failure of expression, input, tool and result."""
    pointer = f"{attempt.step.pointer}/with"
    attempt.is_simulated = _is_simulated(body, attempt)
    attempt.input = render(body.shown, attempt.names, pointer)
    if attempt.is_simulated:
        # Where a secret would stand is a word for it, which the tool need not take.
        hidden = {path for path, template in body.given.templates.items() if template.secrets}
        check_schema(
            attempt.input, body.input_schema, code="bad_argument", what="the input", pointer=pointer, hidden=hidden
        )
        return await _simulate(_call(body, attempt, attempt.input), attempt)
    if body.given.secrets:
        return await _call_with_secrets(body, attempt, pointer)
    check_schema(attempt.input, body.input_schema, code="bad_argument", what="the input", pointer=pointer)
    result = portable(await _invoke(body, attempt, attempt.input), what="the result", pointer=None)
    check_schema(result, body.output_schema, code="output_schema", what="the result", pointer=None)
    return result


async def _call_with_secrets(body: ToolBody, attempt: Attempt, pointer: str) -> Any:
    """The same with an input that nobody but the tool sees, and what comes back without any of it."""
    secrets = await attempt.surroundings.secrets.read(body.given.secrets, tool=body.spec.name)
    opened = sealed.open_input(body, attempt.names, secrets, pointer)
    with opened.redacted():
        result = await _invoke(body, attempt, opened.input, hosts=opened.hosts)
        result = opened.redaction.value(portable(result, what="the result", pointer=None))
        check_schema(result, body.output_schema, code="output_schema", what="the result", pointer=None)
    return result


async def _invoke(
    body: ToolBody, attempt: Attempt, given: Mapping[str, Any], *, hosts: frozenset[str] | None = None
) -> Any:
    if body.spec.side_effect is SideEffect.EFFECT:
        await attempt.declare_intent()
    attempt.has_effect = body.spec.side_effect is not SideEffect.PURE
    return await attempt.surroundings.invoke(_call(body, attempt, given, hosts=hosts))


def _call(
    body: ToolBody, attempt: Attempt, given: Mapping[str, Any], *, hosts: frozenset[str] | None = None
) -> ToolCall:
    return ToolCall(
        spec=body.spec,
        input=given,
        shown=attempt.input,
        path=attempt.path,
        attempt=attempt.number,
        timeout=attempt.step.timeout or body.spec.timeout,
        hosts=hosts,
    )


def _is_simulated(body: ToolBody, attempt: Attempt) -> bool:
    if not body.spec.is_installed or attempt.step.simulation.is_always:
        return True
    return attempt.surroundings.context.simulated and not attempt.step.simulation.is_real


async def _simulate(call: ToolCall, attempt: Attempt) -> Any:
    """Fixtures may leave out what the document does not read, so simulated results are not held to the schema."""
    fixture = attempt.fixture
    if fixture is not None:
        pointer = f"{attempt.step.pointer}/simulate"
        clock = attempt.fixture_clock
        return await fixture_result(fixture, attempt.names, pointer, timeout=call.timeout, clock=clock)
    return portable(await simulated_result(call, _tool_context(call, attempt)), what="the result", pointer=None)


def _tool_context(call: ToolCall, attempt: Attempt) -> ToolContext:
    context = attempt.surroundings.context
    run_id = str(context.run.get("id", ""))
    return ToolContext(
        run_id=run_id,
        task_id=str(context.task.get("id", "")),
        step_path=shown_path(call.path),
        attempt=call.attempt,
        idempotency_key=f"{run_id}:{shown_path(call.path)}",
        now=context.now,
        time_left=call.timeout,
        simulated=True,
    )
