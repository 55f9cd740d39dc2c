"""What has been migrated and loaded already, so that a second start need not look into the database."""

import hashlib
import json
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from ordinaut_project.embedded.state import State, write_private

_APPS = ("scheduling", "pipelines", "workers")
_PACKAGES_WITH_MIGRATIONS = ("django", "django-apscheduler")


@dataclass(frozen=True, slots=True, kw_only=True)
class Seeded:
    """The facts of the last seeding. `briefing_task` is empty where no examples were loaded."""

    fingerprint: str
    briefing_task: str


def fingerprint(root: Path, *, database_url: str, weather_url: str, examples: bool) -> str:
    """A digest of everything that seeding depends on; another one means: seed again."""
    digest = hashlib.sha256()
    for package in _PACKAGES_WITH_MIGRATIONS:
        digest.update(f"{package}=={version(package)}\n".encode())
    for app in _APPS:
        for path in sorted((root / app / "migrations").glob("*.py")):
            digest.update(path.name.encode() + path.read_bytes())
    digest.update("\n".join([database_url, weather_url, str(examples)]).encode())
    return digest.hexdigest()


def read_seeded(state: State) -> Seeded | None:
    """None before the first seeding, or when the note is not readable (then seeding, which is idempotent, is due)."""
    try:
        return Seeded(**json.loads(state.seeded_file.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def write_seeded(state: State, seeded: Seeded) -> None:
    write_private(state.seeded_file, json.dumps(asdict(seeded)) + "\n")
