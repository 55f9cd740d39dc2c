"""Real calls of tools: the input checked, the time bounded, every failure a PipelineError.

Where a tool runs follows from what it is. Asynchronous: on the worker's event loop, in a task of its own. Synchronous
and trusted: in a thread. Synchronous otherwise: in an isolated process.
"""

import asyncio
import hashlib
import inspect
import logging
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

from pipelines.engine.paths import shown_path
from pipelines.engine.ports import ToolCall
from pipelines.errors import ErrorClass, PipelineError
from pipelines.tools import tool_errors
from pipelines.tools.base import Call, Catalog, ToolContext, ToolSpec
from pipelines.tools.isolation import Isolation
from pipelines.tools.json_schema import first_breach
from pipelines.tools.own_task import in_own_task, is_from_outside
from pipelines.tools.storable_errors import told_by
from pipelines.tools.threads import in_a_thread

logger = logging.getLogger(__name__)

_LONGEST_KEY = 200


class ToolInvoker:
    """Calls the tools of one run for real; an `Invoker` of the engine."""

    def __init__(
        self,
        catalog: Catalog,
        isolation: Isolation,
        *,
        run_id: str,
        task_id: str,
        now: datetime,
        agent_id: str | None = None,
        lease_epoch: int | None = None,
        simulated: bool = False,
        on_abandoned: Callable[[ToolCall], None] = lambda _call: None,
    ) -> None:
        """`now` is the run's fixed instant, aware UTC. `isolation` is shared by all runs of the worker.
        `simulated`: the run is, and these are its pure tools with `simulate: real`. `on_abandoned` is told of each call
        whose tool goes on although it was canceled, see Note [Abandoned]."""
        self._catalog = catalog
        self._isolation = isolation
        self._run_id = run_id
        self._task_id = task_id
        self._agent_id = agent_id
        self._lease_epoch = lease_epoch
        self._now = now
        self._simulated = simulated
        self._on_abandoned = on_abandoned

    async def __call__(self, call: ToolCall) -> Any:
        """Run the tool and return what it returned, as it is: the engine judges the result.

        Raises PipelineError, which can be stored, for every failure of the tool, its time-out and a cancellation of its
        own included. A CancelledError from outside passes at once, or when an asynchronous tool has come to its end or
        is abandoned; an isolated tool is dead then, a trusted thread may still run to its own end.
        """
        # The host's own spec: the document's may come from a host where the tool is at another place.
        spec = self._catalog.get(call.spec.name) or call.spec
        if spec is call.spec and (why := self._catalog.why_missing(spec.name)) is not None:
            # It was taken away while the run was at work: its server is disabled, say.
            raise PipelineError("tool_unavailable", ErrorClass.TRANSIENT, f"{spec.name}: {why}")
        if spec.call is None:
            raise PipelineError("unknown_tool", ErrorClass.PERMANENT, f"{spec.name} is not installed on this worker")
        _check_input(spec, call)
        try:
            return await self._run(spec, spec.call, call, self._context(call))
        except BaseException as error:
            if is_from_outside(error):
                raise
            told = told_by(error)
            if told is None:
                logger.exception("tool %s failed at %s of run %s", spec.name, call.path, self._run_id)
                told = tool_errors.from_exception(spec.name, error)
            raise told from error

    async def _run(self, spec: ToolSpec, function: Call, call: ToolCall, context: ToolContext) -> Any:
        given = dict(call.input)
        if _is_async(function):
            return await self._on_the_loop(spec, partial(function, context, **given), call)
        if spec.trusted:
            return await in_a_thread(spec, partial(function, context, **given), call)
        return await self._isolation.call(spec, context, given, call.timeout)

    async def _on_the_loop(self, spec: ToolSpec, function: Callable[[], Any], call: ToolCall) -> Any:
        deadline = asyncio.timeout(call.timeout.total_seconds())
        try:
            async with deadline:
                # Note [Own task]
                return await in_own_task(function, name=spec.name, on_abandoned=partial(self._on_abandoned, call))
        except TimeoutError as error:
            if deadline.expired():
                raise tool_errors.timed_out(spec.name, call.timeout) from None
            raise tool_errors.from_exception(spec.name, error) from error

    def _context(self, call: ToolCall) -> ToolContext:
        return ToolContext(
            run_id=self._run_id,
            task_id=self._task_id,
            step_path=shown_path(call.path),
            attempt=call.attempt,
            idempotency_key=idempotency_key(self._run_id, shown_path(call.path)),
            now=self._now,
            time_left=call.timeout,
            agent_id=self._agent_id,
            lease_epoch=self._lease_epoch,
            hosts=call.hosts,
            simulated=self._simulated,
        )


def idempotency_key(run_id: str, path: str) -> str:
    """One key for every attempt of one step of one run: readable, and hashed only where it would grow too long."""
    key = f"{run_id}:{path}"
    return key if len(key) <= _LONGEST_KEY else f"{run_id}:{hashlib.sha256(path.encode()).hexdigest()}"


def _check_input(spec: ToolSpec, call: ToolCall) -> None:
    try:
        breach = first_breach(spec.input_schema, dict(call.input))
    except ValueError as error:
        raise PipelineError("bad_argument", ErrorClass.VALIDATION, f"{spec.name}: the input is not JSON") from error
    if breach is not None:
        place = breach.pointer or "the input"
        raise PipelineError(
            "bad_argument",
            ErrorClass.VALIDATION,
            f"{spec.name}: {place}: {breach.message}",
            extra={"input_pointer": breach.pointer},
        )


def _is_async(function: Call) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)
