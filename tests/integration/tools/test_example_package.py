"""The package of docs/examples/units-tools, installed by pip and run: it is what a tool of one's own looks like."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import ROOT

PACKAGE = ROOT / "docs" / "examples" / "units-tools"
FAR = {
    "version": 1,
    "params": {"value": 26.2},
    "steps": [
        {
            "id": "far",
            "uses": "units.convert",
            "with": {"value": "${params.value}", "from": "mi", "to": "km"},
            "simulate": "real",
        }
    ],
    "outputs": {"km": "${round(steps.far.value, `2`)}"},
}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a process that has the package, and no database."""
    target = tmp_path_factory.mktemp("installed")
    command = ["-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([sys.executable, *command, "--target", str(target), str(PACKAGE)], check=True, timeout=120)
    return {**os.environ, "PYTHONPATH": str(target), "DATABASE_URL": "", "ORDINAUT_STATE_DIR": str(target / "state")}


def manage(*arguments: str, env: dict[str, str], given: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "manage.py", *arguments]
    return subprocess.run(command, cwd=ROOT, env=env, input=given, capture_output=True, text=True, timeout=60)


def test_its_tool_is_known_and_does_what_it_says(installed: dict[str, str], tmp_path: Path) -> None:
    written = tmp_path / "far.json"
    written.write_text(json.dumps(FAR))

    lines = [json.dumps({"document": FAR, "params": params}) for params in ({}, {"value": -1})]
    told = manage("simulate", "--jsonl", env=installed, given="\n".join(lines))
    without = manage("validatepipeline", str(written), env={**installed, "PYTHONPATH": ""})

    answer, refused = map(json.loads, told.stdout.splitlines())
    assert answer["outputs"] == {"km": 42.16}
    assert refused["error"]["code"] == "bad_argument"
    assert without.returncode != 0
    assert "units.convert" in without.stdout + without.stderr


def test_the_page_shows_the_package() -> None:
    page = (ROOT / "docs" / "how-to" / "write-a-tool.md").read_text()

    (shown,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert shown == (PACKAGE / "units_tools.py").read_text()
    assert "examples/units-tools" in page
    assert '"units.convert" = "units_tools:convert"' in page
    assert '"units.convert" = "units_tools:convert"' in (PACKAGE / "pyproject.toml").read_text()
