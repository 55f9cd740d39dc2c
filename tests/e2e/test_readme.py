"""The README's commands, run as they stand on a fresh `up`, and those of the tutorial after them."""

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson
import pytest

from tests.e2e.ups import Up, bare_environment
from tests.e2e.working_tree import ROOT
from tests.waiting import wait_until

pytestmark = pytest.mark.slow

_BLOCK = re.compile(r"(?:<!-- (?P<note>[^>]*) -->\n)?[ ]*```sh\n(?P<script>.*?)```", re.S)


@dataclass(frozen=True)
class Block:
    """A shell block of a page. `note` is the comment above it: `run elsewhere: ...` or `answers: <status>`."""

    script: str
    note: str


def blocks_of(page: str) -> list[Block]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return [Block(found["script"], found["note"] or "") for found in _BLOCK.finditer(text)]


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    up = Up(tmp_path_factory.mktemp("readme") / ".ordinaut")
    up.start()
    yield up
    up.kill_group()


@pytest.fixture(scope="module")
def terminal(up: Up) -> Path:
    """A folder that looks like the checkout from a second terminal: the project's files, and `.ordinaut` of `up`."""
    folder = up.data_dir.parent
    for name in ("manage.py", "tests"):
        (folder / name).symlink_to(ROOT / name)
    (folder / ".venv").symlink_to(sys.prefix)
    return folder


def run(script: str, terminal: Path, up: Up) -> str:
    """Run a script in the second terminal and return what it printed; fails where a command of it fails."""
    result = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=terminal,
        env=bare_environment(ORDINAUT_STATE_DIR=str(up.data_dir)),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, f"{script}\n{result.stdout}\n{result.stderr}"
    return result.stdout


def exports(page: str) -> str:
    """The blocks that only set variables: each later block runs after them, as in one terminal."""
    return "\n".join(block.script for block in blocks_of(page) if block.script.startswith("export "))


def mails(up: Up) -> int:
    return len(list((up.data_dir / "mail").iterdir()))


def test_the_readmes_commands_do_what_it_says(up: Up, terminal: Path) -> None:
    wait_until(lambda: "The morning briefing ran" in up.said(), what="the first run")
    mails_before = mails(up)
    variables = exports("README.md")
    ran = 0
    for block in blocks_of("README.md"):
        if block.note.startswith("run elsewhere"):
            continue
        printed = run(variables + block.script, terminal, up)
        ran += 1
        if block.note.startswith("answers:"):
            assert printed.endswith(block.note.removeprefix("answers:").strip()), printed
            assert "/pipeline/steps/0/uses" in printed
            assert "email.send" in printed

    assert ran >= 5
    started = orjson.loads((terminal / "run.json").read_bytes())
    ended = up.get(f"/runs/{started['id']}")
    assert (ended["state"], ended["output"]) == ("succeeded", {"kind": "black"})
    assert mails(up) == mails_before + 1
    assert [task["key"] for task in up.get("/tasks")["items"]].count("tea") == 1


def test_the_tutorials_commands_work(up: Up, terminal: Path) -> None:
    variables = exports("README.md")

    printed = [run(variables + block.script, terminal, up) for block in blocks_of("docs/tutorial/first-task.md")]

    assert len(printed) == 3
    me, preview, problems = (orjson.loads(text) for text in printed)
    assert me["agent"]["name"] == "assistant"
    assert len(preview["next"]) == 5
    assert problems["valid"] is True


def test_every_file_that_the_readme_points_at_is_there() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")

    missing = [
        target for target in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in target and not (ROOT / target).exists()
    ]

    assert missing == []
