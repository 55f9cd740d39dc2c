"""Synchronous tools in processes of their own, because a thread cannot be stopped.

A tool may spin, hold the interpreter lock in C code, ignore signals, fork, or crash the interpreter. None of that may
reach the worker, which renews the leases of other runs meanwhile. So such a tool runs in a long-lived runner process,
one call at a time, without the worker's environment (no database address, no key), and is killed with everything it
started when the call's time is over, its run is canceled, it has crashed, or the worker has died (see
`pipelines.tools.warden`). Runners are started when first needed, reused while they stay clean, and replaced when they
die, and after so many calls or above so much memory where the settings say so. What outlives a worker and the warden
falls to the worker's host, which ends it (`workers.orphans`).
"""

import asyncio
import contextlib
import logging
import secrets
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

from pipelines import conf
from pipelines.errors import ErrorClass, PipelineError
from pipelines.tools import frames, tool_errors
from pipelines.tools.base import ToolContext, ToolSpec
from pipelines.tools.runner_process import RunnerDiedError, RunnerProcess

logger = logging.getLogger(__name__)


class Isolation:
    """A bounded pool of runner processes of one event loop. Close it, or leave its `async with`, to end them all."""

    def __init__(self, *, size: int, memory: int | None = None) -> None:
        """`size` calls run at a time, each in at most `memory` bytes of address space, by default the setting's."""
        self._slots = asyncio.Semaphore(size)
        self._memory = memory if memory is not None else conf.isolated_memory()
        self._idle: list[RunnerProcess] = []
        self._all: set[RunnerProcess] = set()
        self._waiting: Counter[tuple[str, str]] = Counter()  # by run and step path
        self._is_closed = False

    async def __aenter__(self) -> "Isolation":
        return self

    async def __aexit__(self, *raised: object) -> None:
        await self.close()

    async def call(self, spec: ToolSpec, context: ToolContext, input: dict[str, Any], timeout: timedelta) -> Any:  # noqa: A002
        """Run the tool once and return its result. The wait for a free runner does not count as the tool's time.

        Raises PipelineError: `timeout` (the runner is killed), `tool_crashed`, and what the tool raised. A canceled
        caller kills the runner, then CancelledError passes.
        """
        if self._is_closed:
            raise RuntimeError("the isolation is closed")
        name = secrets.token_hex(16)
        request = _request(spec, context, input, call=name)
        async with self._slot(context):
            runner = await self._take()
            try:
                async with asyncio.timeout(timeout.total_seconds()):
                    reply = await runner.ask(request, call=name)
            except BaseException as error:
                runner.log_output(spec.name)
                await self._discard(runner)
                if isinstance(error, TimeoutError):
                    raise tool_errors.timed_out(spec.name, timeout) from None
                if isinstance(error, RunnerDiedError):
                    raise _crashed(spec.name, error) from error
                raise
            runner.log_output(spec.name)
            await self._give_back(runner, reply, spec.name)
        return _result(spec.name, reply)

    def is_waiting(self, run_id: str, step_path: str) -> bool:
        """True while a call of this step waits for a process that is free."""
        return (run_id, step_path) in self._waiting

    async def close(self) -> None:
        """Kill every runner, also those in the middle of a call, and wait for their end. May be called twice."""
        self._is_closed = True
        self._idle.clear()
        await asyncio.gather(*(self._discard(runner) for runner in list(self._all)))

    @contextlib.asynccontextmanager
    async def _slot(self, context: ToolContext) -> AsyncIterator[None]:
        """One of the pool's places, waited for in sight of `is_waiting`."""
        place = (context.run_id, context.step_path)
        self._waiting[place] += 1
        try:
            await self._slots.acquire()
        finally:
            self._waiting[place] -= 1
            if not self._waiting[place]:
                del self._waiting[place]
        try:
            yield
        finally:
            self._slots.release()

    async def _take(self) -> RunnerProcess:
        while self._idle:
            runner = self._idle.pop()
            if runner.is_alive:
                return runner
            await self._discard(runner)
        try:
            runner = await RunnerProcess.start(settings=conf.settings_of_isolated_tools(), memory=self._memory)
        except (OSError, RunnerDiedError) as error:
            logger.exception("an isolated tool process could not be started")
            raise PipelineError(
                "runner_unavailable", ErrorClass.TRANSIENT, "this worker could not start a process for the tool"
            ) from error
        self._all.add(runner)
        if self._is_closed:
            await self._discard(runner)
            raise RuntimeError("the isolation was closed meanwhile")
        return runner

    async def _give_back(self, runner: RunnerProcess, reply: dict[str, Any], name: str) -> None:
        if left := reply.get("retire"):
            logger.info("the process of tool %s is not used again, for it has left %s", name, ", ".join(left))
        if left or self._is_closed or runner.is_worn_out:
            await self._discard(runner)
        else:
            self._idle.append(runner)

    async def _discard(self, runner: RunnerProcess) -> None:
        self._all.discard(runner)
        runner.kill()
        await runner.wait()


def _request(spec: ToolSpec, context: ToolContext, given: dict[str, Any], *, call: str) -> bytes:
    """`call` is a secret of this call, which its answer repeats."""
    if spec.entry_point is None:
        raise ValueError(f"{spec.name} has no entry point, so that another process cannot import it")
    try:
        return frames.encode(
            {
                "call": call,
                "tool": spec.name,
                "entry_point": spec.entry_point,
                "input": given,
                "context": {
                    "run_id": context.run_id,
                    "task_id": context.task_id,
                    "step_path": context.step_path,
                    "attempt": context.attempt,
                    "idempotency_key": context.idempotency_key,
                    "now": context.now.isoformat(),
                    "time_left": context.time_left.total_seconds(),
                    "simulated": context.simulated,
                    "agent_id": context.agent_id,
                    "lease_epoch": context.lease_epoch,
                },
            }
        )
    except (TypeError, frames.FrameError) as error:
        raise PipelineError(
            "bad_argument", ErrorClass.VALIDATION, f"{spec.name}: the input is too large or not JSON"
        ) from error


def _result(name: str, reply: dict[str, Any]) -> Any:
    if "error" not in reply:
        return reply["result"]
    error = tool_errors.from_fields(reply["error"])
    if error.error_class is ErrorClass.INTERNAL:
        logger.error("tool %s failed: %s\n%s", name, error.detail, reply["traceback"])
    raise error


def _crashed(name: str, death: RunnerDiedError) -> PipelineError:
    """The error of a call whose process died.

    Class `permanent`: what ended the interpreter (a fault in C code, `os._exit`, the kernel's out-of-memory killer)
    most often follows from this very input and would end it again. A step that knows better retries by the code.
    """
    logger.error("the isolated process of tool %s died: %s", name, death)
    return PipelineError("tool_crashed", ErrorClass.PERMANENT, f"{name} ended its process: {death}")
