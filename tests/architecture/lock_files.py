"""Are the lock files what `pyproject.toml` asks for? `python -m tests.architecture.lock_files` answers, offline.

`make lock` resolves; this only compares: each requirement is pinned at a version that it allows, each pin carries
hashes, the sets lie within each other with the same versions, and no file names a package host.
"""

import itertools
import re
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
FILES = ("requirements.txt", "requirements-embedded.txt", "requirements-dev.txt")
_PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)(?:\[[^\]]*\])?==(?P<version>[^ ;\\]+)")


@dataclass(frozen=True, slots=True)
class Lock:
    """One lock file: the pins (a package may have several, for different machines) and what is wrong in itself."""

    pins: dict[str, set[str]]
    problems: list[str]


def read_lock(name: str, text: str) -> Lock:
    pins: dict[str, set[str]] = {}
    problems = []
    for entry in re.split(r"\n(?=[A-Za-z0-9])", text.replace("\\\n", " ")):
        found = _PIN.match(entry)
        if found:
            pins.setdefault(canonicalize_name(found["name"]), set()).add(found["version"])
            if "--hash=sha256:" not in entry:
                problems.append(f"{name}: {found['name']} has no hash")
    if "://" in text or "--index-url" in text:
        problems.append(f"{name}: names a package host")
    return Lock(pins, problems)


def problems_of(project: dict[str, Any], texts: dict[str, str]) -> list[str]:
    """What is wrong with the lock files, one line each; nothing when they are fresh."""
    extras: dict[str, list[str]] = project["optional-dependencies"]
    wanted = {
        "requirements.txt": project["dependencies"],
        "requirements-embedded.txt": [*project["dependencies"], *extras["embedded"]],
        "requirements-dev.txt": [*project["dependencies"], *(line for lines in extras.values() for line in lines)],
    }
    locks = {name: read_lock(name, texts[name]) for name in FILES}
    problems = [problem for lock in locks.values() for problem in lock.problems]
    for name, lines in wanted.items():
        problems += [f"{name}: {problem}" for line in lines if (problem := _unmet(Requirement(line), locks[name].pins))]
    for smaller, larger in itertools.pairwise(FILES):
        problems += [
            f"{larger}: {package} is not the one of {smaller}"
            for package, versions in locks[smaller].pins.items()
            if not versions <= locks[larger].pins.get(package, set())
        ]
    return problems


def _unmet(requirement: Requirement, pins: dict[str, set[str]]) -> str | None:
    versions = pins.get(canonicalize_name(requirement.name))
    if not versions:
        return f"{requirement.name} is not pinned"
    bad = sorted(
        version for version in versions if not requirement.specifier.contains(Version(version), prereleases=True)
    )
    return f"{requirement.name} {', '.join(bad)} does not satisfy {requirement.specifier}" if bad else None


def current_problems() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return problems_of(project, {name: (ROOT / name).read_text(encoding="utf-8") for name in FILES})


if __name__ == "__main__":
    found = current_problems()
    sys.exit("\n".join([*found, "run make lock"]) if found else 0)
