"""What `manage.py up` keeps between starts: the layout of the state directory and the files in it.

    .ordinaut-state   the mark that the directory is ours
    env               addresses and keys, one NAME=value a line; read by settings for a second terminal
    credentials.json  the console's log-in and the agent's token
    seeded            what was migrated and loaded, so that a second start need not look
    postgres/ valkey/ the servers' data
    mail/ calendar/ logs/

Files with secrets are 0600, the directory itself is 0700.
"""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from ordinaut_project.embedded.binaries import EmbeddedError
from ordinaut_project.embedded.claim import claim, require_claimable
from ordinaut_project.embedded.places import make_private

_OURS = ("env", "credentials.json", "seeded", "postgres", "valkey", "mail", "calendar", "logs")
_LARGEST_LOG = 10 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Everything a person and an assistant need to come in."""

    console_url: str
    username: str
    password: str
    api_url: str
    token: str


class State:
    """The state directory of one installation. Nothing is looked at or changed before `claim()`."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(os.path.realpath(folder))
        self.env_file = self.folder / "env"
        self.credentials_file = self.folder / "credentials.json"
        self.seeded_file = self.folder / "seeded"
        self.mail = self.folder / "mail"
        self.calendar = self.folder / "calendar"
        self.logs = self.folder / "logs"

    def require_claimable(self) -> None:
        """Raises EmbeddedError for a folder that is somebody's own. Changes nothing."""
        require_claimable(self.folder)

    def claim(self) -> None:
        """Make the folder, or take an empty one or our own, and close it to others. Raises EmbeddedError."""
        claim(self.folder)

    def reset(self) -> None:
        """Remove everything of ours; foreign files, the mark and the lock stay. The caller holds the lock.

        Raises EmbeddedError for a folder that is not ours.
        """
        require_claimable(self.folder)
        for name in _OURS:
            path = self.folder / name
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def make_folders(self) -> None:
        for folder in (self.mail, self.calendar, self.logs):
            make_private(folder)

    def log(self, name: str) -> Path:
        """The log of one process; one that has grown too large is put aside, a single time."""
        path = self.logs / f"{name}.log"
        if path.exists() and path.stat().st_size > _LARGEST_LOG:
            path.replace(path.with_suffix(".log.old"))
        return path

    def read_env(self) -> dict[str, str]:
        """The variables of the last start; empty before the first."""
        return read_env(self.env_file)

    def write_env(self, variables: Mapping[str, str]) -> None:
        lines = ["# Written by `manage.py up` at each start; settings read it where DATABASE_URL is unset."]
        lines += [f"{name}={value}" for name, value in variables.items()]
        write_private(self.env_file, "\n".join(lines) + "\n")

    def read_credentials(self) -> Credentials | None:
        """None before the first start. Raises EmbeddedError for a file that was damaged."""
        try:
            return Credentials(**json.loads(self.credentials_file.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            raise EmbeddedError(f"{self.credentials_file} is damaged: begin anew with --reset") from error

    def write_credentials(self, credentials: Credentials) -> None:
        write_private(self.credentials_file, json.dumps(asdict(credentials), indent=2) + "\n")


def read_env(path: Path) -> dict[str, str]:
    """The `NAME=value` lines of a file; nothing where it is missing."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    pairs = (line.partition("=") for line in lines if not line.startswith("#"))
    return {name: value for name, separator, value in pairs if separator}


def write_private(path: Path, text: str) -> None:
    """Replace the file at once with one that only its owner may read."""
    unfinished = path.with_name(f"{path.name}.new")
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    unfinished.replace(path)
