"""A tool server that is a program: started for one session, spoken to over its standard streams, killed at the end."""

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import SessionMessage
from mcp_types import jsonrpc_message_adapter

from pipelines import conf
from pipelines.errors import ErrorClass, PipelineError
from pipelines.servers import launcher
from pipelines.servers.addresses import ServerAddress
from pipelines.servers.wire import MOST_BYTES
from pipelines.tools.environment import clean_environment
from pipelines.tools.plain_text import neutralised
from pipelines.tools.process_tree import kill_tree

logger = logging.getLogger(__name__)

_ENDS_WITHIN = 1.0  # seconds from the end of its input until a program is killed
_PIPES_CLOSE_WITHIN = 0.5
_LOOK = 0.005
_KEPT_OUTPUT = 2048

Incoming = SessionMessage | Exception
Streams = tuple[MemoryObjectReceiveStream[Incoming], MemoryObjectSendStream[SessionMessage]]


class LocalServer:
    """The program of one session. `failure` is how it failed, if it did."""

    def __init__(self, address: ServerAddress) -> None:
        self._address = address
        self._output = bytearray()
        self._is_ended = False
        self.failure: PipelineError | None = None

    @asynccontextmanager
    async def streams(self) -> AsyncIterator[Streams]:
        """Start the program and give the two ends of the session. Nothing of it runs on afterwards.

        Raises PipelineError where this host may not start it.
        """
        require_allowed(self._address)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", str(Path(launcher.__file__)), str(os.getpid()), *self._address.command),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=clean_environment(),
            limit=MOST_BYTES,
            start_new_session=True,
        )
        into, incoming = anyio.create_memory_object_stream[Incoming](0)
        outgoing, out_of = anyio.create_memory_object_stream[SessionMessage](0)
        tasks = [
            asyncio.create_task(self._read(process, into)),
            asyncio.create_task(self._write(process, out_of)),
            asyncio.create_task(self._drain(process)),
        ]
        is_orderly = False
        try:
            yield incoming, outgoing
            is_orderly = True
        finally:
            self._is_ended = True
            # Killed before anything is awaited: a second cancellation cannot come in between.
            if not is_orderly:
                _kill(process)
            try:
                await asyncio.shield(_end(process))
            finally:
                for task in tasks:
                    task.cancel()
                for stream in (into, incoming, outgoing, out_of):
                    stream.close()
                self._log_output()

    async def _read(self, process: Any, into: MemoryObjectSendStream[Incoming]) -> None:
        with into, contextlib.suppress(anyio.ClosedResourceError, anyio.BrokenResourceError):
            try:
                while line := await process.stdout.readline():
                    try:
                        await into.send(SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False)))
                    except ValueError:
                        logger.debug("tool server %s printed a line that is no message", self._address.name)
            except ValueError:  # how the reader tells that the line passes its limit
                self.failure = PipelineError(
                    "too_large",
                    ErrorClass.LIMIT,
                    f"the tool server {self._address.name} answered with more than {MOST_BYTES} bytes",
                )
            else:
                await self._note_end(process)

    async def _write(self, process: Any, out_of: MemoryObjectReceiveStream[SessionMessage]) -> None:
        with out_of, contextlib.suppress(OSError, anyio.ClosedResourceError):  # the reader tells of its end
            async for message in out_of:
                text = message.message.model_dump_json(by_alias=True, exclude_unset=True)
                process.stdin.write(text.encode() + b"\n")
                await process.stdin.drain()

    async def _drain(self, process: Any) -> None:
        """Read what it prints beside the protocol, in constant memory, so that it never blocks on a full pipe."""
        while piece := await process.stderr.read(65536):
            self._output += piece
            del self._output[:-_KEPT_OUTPUT]

    def _log_output(self) -> None:
        if self._output:
            words = neutralised(bytes(self._output).decode(errors="replace"))
            logger.info("tool server %s printed, last: %s", self._address.name, words)

    async def _note_end(self, process: Any) -> None:
        """Its output has ended while the session lasts. Wait a moment for what it ended with."""
        if self._is_ended:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_ENDS_WITHIN):
                while process.returncode is None:
                    await asyncio.sleep(_LOOK)
        name, status = self._address.name, process.returncode
        if status == launcher.NOT_STARTED:
            self.failure = PipelineError(
                "server_not_started",
                ErrorClass.PERMANENT,
                f"the tool server {name} could not be started: this host has no program {self._address.command[0]}",
            )
            return
        how = "it closed its output" if status is None else _words_of(status)
        self.failure = PipelineError("server_died", ErrorClass.TRANSIENT, f"the tool server {name} ended: {how}")


def require_allowed(address: ServerAddress) -> None:
    """Raises PipelineError where `ORDINAUT_MCP_COMMANDS` of this host does not name the server's program."""
    if address.command[0] not in conf.mcp_commands():
        raise PipelineError(
            "command_refused",
            ErrorClass.PERMANENT,
            f"ORDINAUT_MCP_COMMANDS of this host does not name {address.command[0]}, the program of the tool server "
            f"{address.name}",
        )


def _words_of(status: int) -> str:
    return f"exit status {status}" if status >= 0 else signal.Signals(-status).name


def _kill(process: Any) -> None:
    """SIGKILL to the program and everything it started; of one that has ended, to what is left of its group."""
    if process.returncode is None:
        kill_tree(process.pid)
    else:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)


async def _end(process: Any) -> None:
    """Close its input, give it a moment to end, kill what is left, and return when it is gone."""
    with contextlib.suppress(OSError):
        process.stdin.close()
    deadline = asyncio.get_running_loop().time() + _ENDS_WITHIN
    while process.returncode is None and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(_LOOK)
    _kill(process)
    while process.returncode is None:
        await asyncio.sleep(_LOOK)
    try:
        async with asyncio.timeout(_PIPES_CLOSE_WITHIN):
            await process.wait()  # for its pipes, too, which a child that is dying may hold
    except TimeoutError:
        process._transport.close()  # noqa: SLF001 - nothing public does that
