"""Does the gate close? One violation of each kind is planted in a clone, and checks and tests must name each. (That it
is open without them is seen each time that the checks are run.)"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.working_tree import ROOT, copy_working_tree

_LINT = "import os\n"
_TYPE = "def planted() -> int:\n    return 'text'\n"
_IMPORT = "from workers import supervisor as supervisor\n"
_MODEL = """

class Planted(models.Model):
    name = models.CharField(max_length=10)

    def __str__(self) -> str:
        return self.name
"""
_GATES = ("check-lint", "check-types", "check-imports", "check-migrations")
_TEST = "def test_planted_failure() -> None:\n    assert 1 == 2\n"


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is under version control or about to be, as it stands in the working tree."""
    target = tmp_path_factory.mktemp("gates") / "clone"
    copy_working_tree(target)
    known_types = ROOT / ".mypy_cache"
    if known_types.is_dir():  # of the tree's own check, which spares this one most of its time
        shutil.copytree(known_types, target / known_types.name)
    return target


def _plant(clone: Path) -> None:
    (clone / "scheduling" / "planted_lint.py").write_text(_LINT)
    (clone / "scheduling" / "planted_type.py").write_text(_TYPE)
    (clone / "scheduling" / "planted_import.py").write_text(_IMPORT)
    with (clone / "pipelines" / "models.py").open("a") as models:
        models.write(_MODEL)
    (clone / "tests" / "unit" / "test_planted.py").write_text(_TEST)


def _make(clone: Path, *targets: str) -> subprocess.CompletedProcess[str]:
    """`make` in the clone on this environment's packages; DEV is emptied so that nothing is installed."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("ORDINAUT_", "PYTEST_", "MAKE", "MFLAGS")) and not name.endswith("_URL")
    }
    command = ["make", "--keep-going", "DEV=", f"VENV={sys.prefix}", *targets]
    return subprocess.run(command, cwd=clone, env=environment, capture_output=True, text=True, timeout=300)


def test_make_check_asks_at_all_of_them(clone):
    recipes = {gate: _make(clone, "--dry-run", gate).stdout.strip() for gate in _GATES}
    whole = _make(clone, "--dry-run", "check").stdout

    assert all(recipes.values())
    assert [gate for gate, recipe in recipes.items() if recipe not in whole] == []


@pytest.mark.slow
def test_each_kind_of_violation_closes_the_gate_and_is_named(clone):
    _plant(clone)

    result = _make(clone, *_GATES, "test", "ARGS=tests/unit/test_planted.py")

    said = result.stdout + result.stderr
    assert result.returncode != 0
    for target, words in {
        "check-lint": "F401",
        "check-types": "planted_type.py:2: error",
        "check-imports": "scheduling.planted_import",
        "check-migrations": "Create model Planted",
        "test": "test_planted_failure",
    }.items():
        assert f"[Makefile:{_line_of(clone, target)}: {target}]" in said
        assert words in said


def _line_of(clone: Path, target: str) -> int:
    """The line of the target's first recipe line, as make names it."""
    lines = (clone / "Makefile").read_text().splitlines()
    return next(number for number, line in enumerate(lines, start=1) if line.startswith(f"{target}:")) + 1
