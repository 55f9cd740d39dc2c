"""A runner process as its worker sees it: started, asked, killed."""

import asyncio
import contextlib
import logging
import os
import signal
import sys
import time
from typing import Any

from pipelines import conf
from pipelines.tools import frames
from pipelines.tools.environment import clean_environment
from pipelines.tools.plain_text import neutralised
from pipelines.tools.process_tree import is_living_child, resident_memory

logger = logging.getLogger(__name__)

_START_SECONDS = 30.0
_LOOK = 0.005
_ENDS_WITHIN = 1.0
_WARDEN_ENDS_WITHIN = 12.0  # it kills for ten seconds
_PIPES_CLOSE_WITHIN = 0.5
_KEPT_OUTPUT = 4096


class RunnerDiedError(Exception):
    """The process ended, or stopped speaking the protocol. The text says how, for an operator."""


class RunnerProcess:
    """One child process, the warden, in a session of its own, and below it the one that runs the tools. Not safe for
    two calls at a time; the pool sees to that."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self._process = process
        self._requests = process.stdin
        self._replies = process.stdout
        self._output = bytearray()
        self._output_size = 0
        self._answers = 0
        self._pid = 0  # of the process that runs the tools
        self._drain = asyncio.create_task(self._drain_output(process.stderr))

    @classmethod
    async def start(cls, *, settings: dict[str, Any], memory: int | None) -> "RunnerProcess":
        """Start a runner and wait until it is ready. Raises OSError or RunnerDiedError; nothing is left behind then."""
        # -P keeps the working directory off the import path; what the worker can import the runner can.
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-X", "faulthandler", "-m", "pipelines.tools.runner", str(os.getpid())),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=_environment(),
            start_new_session=True,
        )
        runner = cls(process)
        try:
            async with asyncio.timeout(_START_SECONDS):
                ready = await runner.ask(frames.encode({"settings": settings, "memory": memory}))
        except TimeoutError:
            runner.kill()
            await runner.wait()
            raise RunnerDiedError(f"not ready within {_START_SECONDS:g} seconds") from None
        except BaseException:
            logger.exception("a runner died at its start; it printed: %s", runner.take_output())
            runner.kill()
            await runner.wait()
            raise
        runner._pid = ready["pid"]
        return runner

    @property
    def is_alive(self) -> bool:
        """Asked of the kernel, too: the event loop hears of an end some time after it, the warden's even later."""
        is_open = self._process.returncode is None and not self._replies.at_eof()
        return is_open and is_living_child(self._pid, self._process.pid)

    @property
    def is_worn_out(self) -> bool:
        """True where it has served as many calls, or holds as much memory, as one process may."""
        calls, memory = conf.isolated_max_calls(), conf.isolated_max_memory()
        served = self._answers - 1  # the first answer was to its configuration
        return bool(calls and served >= calls) or bool(memory and (resident_memory(self._pid) or 0) > memory)

    async def ask(self, frame: bytes, *, call: str | None = None) -> dict[str, Any]:
        """Send a frame and return the answer, which is of this `call`. Raises RunnerDiedError; after any exception the
        runner must be killed."""
        try:
            self._requests.write(frame)
            await self._requests.drain()
            answer = await frames.read(self._replies)
        except (frames.FrameError, ConnectionError) as error:
            raise RunnerDiedError(await self._end(error)) from error
        if answer.get("call") != call:
            raise RunnerDiedError("it answered another call")
        self._answers += 1
        return answer

    def kill(self) -> None:
        """Have the warden kill the process and everything it started, and end. Returns at once; `wait` for the end.

        Of one whose warden has been killed, what is still in its process group: its number is nobody else's while that
        has members.
        """
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if self._process.returncode is None:
                os.kill(self._process.pid, signal.SIGTERM)
                os.kill(self._process.pid, signal.SIGCONT)  # a tool may have stopped it
            else:
                os.killpg(self._process.pid, signal.SIGKILL)

    async def wait(self) -> None:
        """Wait until the killed process is gone, also when the caller is being canceled."""
        self._requests.close()
        await asyncio.shield(self._gone())
        self._drain.cancel()

    async def _gone(self) -> None:
        """Return when the warden has ended. asyncio waits for its pipes, too, which a child may hold for ever."""
        given_up_at = time.monotonic() + _WARDEN_ENDS_WITHIN
        while self._process.returncode is None:
            if time.monotonic() > given_up_at:  # a tool has stopped it again
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGKILL)
            await asyncio.sleep(_LOOK)
        try:
            async with asyncio.timeout(_PIPES_CLOSE_WITHIN):
                await self._process.wait()
        except TimeoutError:
            self._process._transport.close()  # type: ignore[attr-defined] # noqa: SLF001 - nothing public does that
            await asyncio.sleep(0)  # in which it does

    def log_output(self, name: str) -> None:
        """Log what the tool printed since the last time, if anything: its last 4 KB, escapes neutralised."""
        size = self._output_size
        if text := self.take_output():
            logger.info("tool %s printed %d bytes, last: %s", name, size, text)

    def take_output(self) -> str:
        text = neutralised(bytes(self._output).decode(errors="replace"))
        self._output.clear()
        self._output_size = 0
        return text

    async def _drain_output(self, stream: asyncio.StreamReader) -> None:
        """Read whatever the tool prints, for ever and in constant memory, so that it never blocks on a full pipe."""
        while piece := await stream.read(65536):
            self._output_size += len(piece)
            self._output += piece
            del self._output[:-_KEPT_OUTPUT]

    async def _end(self, error: Exception) -> str:
        """How the process ended, once it has; a process that still lives broke the protocol."""
        try:
            async with asyncio.timeout(_ENDS_WITHIN):
                while (status := self._process.returncode) is None:
                    await asyncio.sleep(_LOOK)
        except TimeoutError:
            return f"it broke the protocol ({error})"
        if status >= 0:
            return f"exit status {status}"
        name = signal.Signals(-status).name
        return f"{name}, out of memory perhaps" if name == "SIGKILL" else name


def _environment() -> dict[str, str]:
    own = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "PYTHONUNBUFFERED": "1"}
    return clean_environment() | own
