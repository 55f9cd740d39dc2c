"""The network between a round's processes and their database: a relay that cuts, falls silent and dawdles.

It runs in a thread of its own. Clients come over TCP, the server is behind a Unix socket.
"""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from random import Random

_LINGER_NOT = struct.pack("ii", 1, 0)  # close with a reset
_CHUNK = 65536


class Link:
    """One client's connection."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.writers = (client, server)
        self.silent_up = self.silent_down = False
        self.has_lost = False
        self.delay = 0.0

    def reset(self) -> None:
        for writer in self.writers:
            raw = writer.get_extra_info("socket")
            with contextlib.suppress(OSError):
                if raw is not None and raw.family != socket.AF_UNIX:
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
            writer.transport.abort()


class Proxy:
    """A relay to one Unix socket. `port` is fixed at the start; every method may be called from any thread."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._links: set[Link] = set()
        self._rules: list[Callable[[Link], None]] = []  # of faults that last: new connections are no better off
        self._loop = asyncio.new_event_loop()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)
        self._thread.start()

    def reset(self, share: float, rng: Random) -> None:
        """Cut a share of the open connections."""

        def befall() -> None:
            for link in self._chosen(share, rng):
                link.reset()

        self._call(befall)

    def silence(self, share: float, rng: Random, *, up: bool, down: bool) -> None:
        """Lose what is sent on a share of the connections, in the given directions, until `heal()`."""

        def befall() -> None:
            for link in self._chosen(share, rng):
                link.silent_up, link.silent_down = up, down

        self._call(befall)

    def slow(self, delay: float, share: float, rng: Random) -> None:
        """Hold every piece up for so many seconds, until `heal()`. With a share of less than 1 new connections are
        better off, so that what was sent first may arrive last."""

        def hold_up(link: Link) -> None:
            link.delay = delay

        def befall() -> None:
            if share >= 1:
                self._rules.append(hold_up)
            for link in self._chosen(share, rng):
                hold_up(link)

        self._call(befall)

    def heal(self) -> None:
        """Be a good network again. A connection on which something was lost is cut: it can never be whole again."""

        def befall() -> None:
            self._rules.clear()
            for link in list(self._links):
                if link.has_lost or link.silent_up or link.silent_down:
                    link.reset()
                link.silent_up = link.silent_down = False
                link.delay = 0.0

        self._call(befall)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    def _call(self, befall: Callable[[], object]) -> None:
        done = threading.Event()

        def run() -> None:
            try:
                befall()
            finally:
                done.set()

        self._loop.call_soon_threadsafe(run)
        done.wait(10)

    def _chosen(self, share: float, rng: Random) -> list[Link]:
        return [link for link in list(self._links) if rng.random() < share]

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, sock=self._listener))
        self._loop.run_forever()
        server.close()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            upstream, server = await asyncio.open_unix_connection(str(self._target))
        except OSError:
            writer.transport.abort()
            return
        link = Link(writer, server)
        for rule in self._rules:
            rule(link)
        self._links.add(link)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._relay(link, reader, server, is_up=True))
                group.create_task(self._relay(link, upstream, writer, is_up=False))
        except* (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self._links.discard(link)
            for each in (writer, server):
                each.transport.abort()

    async def _relay(
        self, link: Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_up: bool
    ) -> None:
        while content := await reader.read(_CHUNK):
            if link.delay:
                await asyncio.sleep(link.delay)
            if link.silent_up if is_up else link.silent_down:
                link.has_lost = True
                continue
            writer.write(content)
            await writer.drain()
        if link.silent_up or link.silent_down:
            return  # not even the end of the connection is heard of
        writer.close()
