"""The first five minutes on a bare machine: a fresh clone, an empty home, no packages, only Python and make."""

import json
import os
import pwd
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.ups import free_port
from tests.e2e.working_tree import ROOT, WITHOUT_COMPILING, copy_working_tree
from tests.process_trees import kill_marked, processes_marked, tie_to_this_process
from tests.waiting import wait_until

pytestmark = pytest.mark.slow

_FIRST_START = 90.0
# The promise. The tests share their machine with others, so a slow start may be tried again, twice.
_SECOND_START = 5.0
_TRIES = 3
# How packages are found on this machine is the machine's affair, not ours.
_PASSED_ON = (
    "PIP_",
    "SSL_",
    "REQUESTS_",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
)


@dataclass
class Clone:
    folder: Path
    user: int
    environment: dict[str, str]

    def start(self, *command: str, output: Path) -> subprocess.Popen[bytes]:
        """Run a command in the clone as its user, in a session of its own."""
        is_other = self.user != os.geteuid()
        with output.open("wb") as file:
            return subprocess.Popen(
                command,
                cwd=self.folder,
                env=self.environment,
                user=self.user if is_other else None,
                group=pwd.getpwuid(self.user).pw_gid if is_other else None,
                extra_groups=[] if is_other else None,
                stdout=file,
                stderr=file,
                start_new_session=True,
                preexec_fn=tie_to_this_process,
            )


@pytest.fixture
def clone() -> Iterator[Clone]:
    """The tracked and new files of the working tree, in a folder that belongs to the user and that he can reach.

    An ordinary user, where there is one who can run Python: what root does is tried by `test_up`.
    """
    user, path = os.geteuid(), os.environ["PATH"]
    if user == 0:
        nobody, plain = pwd.getpwnam("nobody").pw_uid, "/usr/local/bin:/usr/bin:/bin"
        if _can_run_python(nobody, plain):
            user, path = nobody, plain
    base = Path("/tmp") / f"ordinaut-fresh-{user}-{os.getpid()}"
    home, folder = base / "home", base / "clone"
    home.mkdir(parents=True)
    copy_working_tree(folder)
    subprocess.run(["chown", "-R", f"{user}:{pwd.getpwuid(user).pw_gid}", base], check=True)
    passed_on = {name: value for name, value in os.environ.items() if name.startswith(_PASSED_ON)}
    mark = f"FRESH_{os.getpid()}_{user}"
    ours = {"PATH": path, "HOME": str(home), "UP_MARK": mark, "PIP_NO_CACHE_DIR": "1"}
    environment = {**passed_on, **WITHOUT_COMPILING, **ours}
    yield Clone(folder, user, environment)
    kill_marked(mark)
    shutil.rmtree(base)


def test_make_up_works_from_nothing_and_again_within_seconds(clone, record_property):
    seconds = {
        "first": _start_and_stop(clone, "first.out", until="The morning briefing ran: succeeded", within=_FIRST_START),
        "second": _quickest_later_start(clone),
    }

    record_property("start_seconds", seconds)
    report = ROOT / "build-reports" / f"start-seconds-{'root' if clone.user == 0 else 'user'}.json"
    report.parent.mkdir(exist_ok=True)
    report.write_text(json.dumps(seconds) + "\n")
    assert seconds["second"] <= _SECOND_START
    assert processes_marked(clone.environment["UP_MARK"]) == []


def _quickest_later_start(clone: Clone) -> float:
    """The first later start that keeps the promise, or the quickest of them all."""
    seen: list[float] = []
    while len(seen) < _TRIES and (not seen or seen[-1] > _SECOND_START):
        name = f"later-{len(seen)}.out"
        seen.append(_start_and_stop(clone, name, until="Ordinaut is up", within=_FIRST_START))
    return min(seen)


def _start_and_stop(clone: Clone, name: str, *, until: str, within: float) -> float:
    """The seconds until the address was printed; `until` is what is waited for beyond that."""
    output = clone.folder / name
    began = time.monotonic()
    up = clone.start("make", "up", f"ARGS=--port {free_port()}", output=output)

    def has_said(words: str) -> bool:
        assert up.poll() is None, output.read_text()
        return words in output.read_text()

    wait_until(lambda: has_said("Ordinaut is up"), timeout=within, what="the address")
    seconds = round(time.monotonic() - began, 1)
    wait_until(lambda: has_said(until), timeout=30, what=until)
    up.terminate()
    up.wait(30)
    return seconds


def _can_run_python(user: int, path: str) -> bool:
    source = "import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))"
    try:
        result = subprocess.run(["python3", "-c", source], env={"PATH": path}, user=user, capture_output=True)
    except OSError:
        return False
    return result.returncode == 0
