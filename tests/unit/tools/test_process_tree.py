"""What the kernel says of processes, and where it says less."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipelines.tools.process_tree import children, is_living_child
from tests.waiting import wait_until


@pytest.fixture
def sleeper():
    """The pid of a child, which is killed but not waited for on demand: `sleeper.kill()`."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        yield process
        process.kill()


@pytest.mark.parametrize("has_lists_of_children", [True, False])
def test_a_child_is_found_also_where_the_kernel_keeps_no_lists_of_children(sleeper, monkeypatch, has_lists_of_children):
    if not has_lists_of_children:

        def missing(path: Path) -> bytes:
            raise FileNotFoundError(path)

        monkeypatch.setattr(Path, "read_bytes", missing)

    assert sleeper.pid in children(os.getpid())
    assert os.getpid() not in children(os.getpid())


def test_a_child_of_another_thread_is_found():
    with ThreadPoolExecutor(1) as threads:
        process = threads.submit(subprocess.Popen, [sys.executable, "-c", "import time; time.sleep(60)"]).result()
        try:
            assert process.pid in children(os.getpid())
        finally:
            process.kill()
            process.wait()


def test_a_process_lives_as_a_child_until_it_has_ended(sleeper):
    assert is_living_child(sleeper.pid, os.getpid())
    assert not is_living_child(sleeper.pid, 1)

    sleeper.kill()

    wait_until(lambda: not is_living_child(sleeper.pid, os.getpid()))
