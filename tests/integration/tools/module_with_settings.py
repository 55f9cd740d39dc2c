"""A tool whose module sets things up for itself when it is imported, as libraries do."""

import os
import signal
import socket

from pipelines.tools.base import SideEffect, ToolContext, tool

os.environ.setdefault("SET_UP_BY_A_MODULE", "1")
socket.setdefaulttimeout(socket.getdefaulttimeout() or 30)
signal.signal(signal.SIGUSR2, signal.SIG_IGN)


@tool(
    name="test.pid",
    input_schema={},
    output_schema={},
    side_effect=SideEffect.PURE,
    entry_point="tests.integration.tools.module_with_settings:pid",
)
def pid(context: ToolContext) -> int:
    """The process that it runs in."""
    return os.getpid()
