"""The pulse between a worker process and its supervisor: small JSON datagrams over a socket pair.

The process ticks from its event loop, so a loop that is blocked falls silent. The supervisor beats in the database for
those that tick, and acknowledges with the number of the tick that the beat was made for; the process counts its time
from when it sent that tick, which is before the beat, never after. So the process always gives up earlier than a
reaper can find its beat standing still, also when both slept in between.
"""

import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson

from scheduling.instants import boottime

TICK_EVERY = 0.25  # seconds
MAX_DATAGRAM = 16 * 1024
_REMEMBERED_TICKS = 4096

Message = dict[str, Any]


def send(channel: socket.socket, message: Mapping[str, Any]) -> bool:
    """Send without waiting; False where the other side does not read or is gone. The next tick will say it again."""
    try:
        channel.send(orjson.dumps(message))
    except (BlockingIOError, ConnectionError, OSError):
        return False
    return True


def receive(channel: socket.socket) -> list[Message]:
    """All messages that have arrived, none where there is none."""
    messages: list[Message] = []
    with contextlib.suppress(BlockingIOError, ConnectionError):
        while data := channel.recv(MAX_DATAGRAM):
            messages.append(orjson.loads(data))
    return messages


class Pulse:
    """The process's side. `report` gives the facts that go with each tick; `hear` gets every other message."""

    def __init__(
        self,
        channel: socket.socket,
        *,
        boot_id: UUID,
        abort_after: timedelta,
        report: Callable[[], Mapping[str, Any]],
        hear: Callable[[Message], None],
    ) -> None:
        self._channel = channel
        self._boot_id = str(boot_id)
        self._abort_after = abort_after.total_seconds()
        self._report = report
        self._hear = hear
        self._number = 0
        self._sent: deque[tuple[int, float]] = deque(maxlen=_REMEMBERED_TICKS)
        self._alive_at: float | None = None
        self._is_lost = False
        self.loop_lag = 0.0

    def register(self, registered_at: float) -> None:
        """From now on beats are due. `registered_at` is a boot time from before the worker's row was written."""
        self._alive_at = registered_at

    @property
    def is_registered(self) -> bool:
        return self._alive_at is not None

    @property
    def is_late(self) -> bool:
        """True where the leases of this process must not be believed any more."""
        return self._is_lost or (self._alive_at is not None and boottime() - self._alive_at > self._abort_after)

    def lose(self) -> None:
        self._is_lost = True

    async def run(self) -> None:
        """Tick and listen until the process is late; then return."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self._channel, self._read)
        try:
            while not self.is_late:
                self.tick()
                asleep_at = loop.time()
                await asyncio.sleep(TICK_EVERY)
                self.loop_lag = max(0.0, loop.time() - asleep_at - TICK_EVERY)
        finally:
            loop.remove_reader(self._channel)

    def tick(self) -> None:
        """Say how the process stands, now."""
        self._number += 1
        self._sent.append((self._number, boottime()))
        send(
            self._channel,
            {
                "type": "tick",
                "boot_id": self._boot_id,
                "number": self._number,
                "registered": self.is_registered,
                "lag": round(self.loop_lag, 4),
                **self._report(),
            },
        )

    def _read(self) -> None:
        for message in receive(self._channel):
            if message.get("boot_id", self._boot_id) != self._boot_id:
                continue  # meant for the process that had this channel before
            match message["type"]:
                case "ack":
                    self._acknowledge(message["number"])
                case "lost":
                    self.lose()
                case _:
                    self._hear(message)

    def _acknowledge(self, number: int) -> None:
        while self._sent and self._sent[0][0] <= number:
            sent, at = self._sent.popleft()
            if sent == number:
                self._alive_at = max(self._alive_at or at, at)
