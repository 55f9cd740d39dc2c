"""One Valkey server on a Unix socket, as our own child process."""

import contextlib
import signal
import time
from pathlib import Path
from urllib.parse import quote

import redis

from ordinaut_project.embedded.binaries import EmbeddedError, valkey_server
from ordinaut_project.embedded.places import make_private, socket_folder
from workers.supervisor import Child, ChildSpec

_SOCKET_NAME = "valkey.sock"
_READY_WITHIN = 20.0


class Valkey:
    """A server whose data lie under `folder`: spawn `spec()`, then `wait_until_ready()`.

    `durable` appends each write to a log and writes it to disk every second; else nothing outlives the server.
    """

    def __init__(
        self,
        folder: Path,
        *,
        durable: bool = True,
        databases: int = 16,
        log: Path | None = None,
        sockets: Path | None = None,
    ) -> None:
        self.folder = make_private(folder)
        self.socket = socket_folder(sockets or self.folder, longest_name=_SOCKET_NAME) / _SOCKET_NAME
        self._durable = durable
        self._databases = databases
        self._log = log or self.folder / "server.log"

    def url(self, database: int = 0) -> str:
        """`REDIS_URL` of one of the server's databases."""
        return f"unix://{quote(str(self.socket))}?db={database}"

    def spec(self) -> ChildSpec:
        settings = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "dir": str(self.folder),
            "databases": str(self._databases),
            "appendonly": "yes" if self._durable else "no",
            "save": "",
            "daemonize": "no",
            "loglevel": "warning",
        }
        options = [part for name, value in settings.items() for part in (f"--{name}", value)]
        return ChildSpec(
            name="valkey",
            argv=(str(valkey_server()), *options),
            log=self._log,
            # At once: a server that is still ending would remove the socket of the one started after it.
            death_signal=signal.SIGKILL,
            restart=True,
        )

    def wait_until_ready(self, child: Child, *, within: float = _READY_WITHIN) -> None:
        """Return when the server answers PING. Raises EmbeddedError when it ends or the time is up."""
        ends_at = time.monotonic() + within
        with contextlib.closing(redis.Redis.from_url(self.url())) as client:
            while True:
                with contextlib.suppress(redis.ConnectionError):
                    client.ping()
                    return
                if child.exit_code is not None:
                    raise EmbeddedError(f"Valkey ended at its start: see {self._log}")
                if time.monotonic() > ends_at:
                    raise EmbeddedError(f"Valkey did not answer within {within:.0f} s: see {self._log}")
                time.sleep(0.01)
