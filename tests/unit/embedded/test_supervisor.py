import os
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.process_trees import is_alive, kill_marked, processes_marked, tie_to_this_process
from tests.waiting import wait_until
from workers.supervisor import ChildSpec, Supervisor, SupervisorError, describe_exit, spawn

# A tree of supervisors like that of `up` and `runworkers --processes`: each level spawns the next from its main
# thread; the leaf ignores SIGTERM, as a hanging child would.
_TREE = r"""
import os, signal, sys, time
from workers.supervisor import ChildSpec, Supervisor
depth = int(sys.argv[1])
if depth == 0:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.write(1, b"leaf ready\n")
    time.sleep(60)
    sys.exit(0)  # never on to the lines below: a leaf that outlives its test must not grow a tree without end
assert depth > 0
supervisor = Supervisor()
for number in range(2):
    argv = (sys.executable, "-c", sys.argv[2], str(depth - 1), sys.argv[2])
    supervisor.start(ChildSpec(name=f"child-{number}", argv=argv, grace=0.3))
sys.exit(supervisor.run())
"""


def _python(source: str, *arguments: str, **changes) -> ChildSpec:
    return ChildSpec(**{"name": "child", "argv": (sys.executable, "-c", source, *arguments), **changes})


@contextmanager
def _tree(depth: int) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A tree with all its leaves up, and the mark that each of its processes carries; gone when the block ends."""
    mark = uuid.uuid4().hex
    with subprocess.Popen(
        [sys.executable, "-c", _TREE, str(depth), _TREE],
        env={**os.environ, "TREE_MARK": mark},
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=tie_to_this_process,
    ) as tree:
        try:
            assert tree.stdout is not None
            for _ in range(2**depth):
                assert tree.stdout.readline() == "leaf ready\n"
            yield tree, mark
        finally:
            tree.kill()
            kill_marked(mark)


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")
def test_killing_the_top_supervisor_leaves_no_process_of_its_tree():
    with _tree(2) as (top, mark):
        assert len(processes_marked(mark)) == 7

        top.kill()
        top.wait()

        wait_until(lambda: processes_marked(mark) == [], what="the end of the whole tree")


def test_sigterm_ends_a_tree_whose_leaves_ignore_it():
    with _tree(1) as (top, mark):
        top.terminate()

        assert top.wait(timeout=10) == 0
        assert processes_marked(mark) == []


def test_children_stop_in_the_reverse_of_their_start(tmp_path):
    journal = tmp_path / "journal"
    source = (
        "import signal, sys, time\n"
        "def end(*_):\n"
        "    open(sys.argv[2], 'a').write(sys.argv[1] + '\\n'); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, end); open(sys.argv[2] + sys.argv[1], 'w').close(); time.sleep(600)\n"
    )
    supervisor = Supervisor()
    for name in ("database", "workers", "web"):
        supervisor.start(_python(source, name, str(journal), name=name))
    wait_until(lambda: len(list(tmp_path.iterdir())) == 3, what="all children are up")

    supervisor.stop()

    assert journal.read_text().split() == ["web", "workers", "database"]


def test_an_ended_child_is_reported_and_started_again():
    ends = []
    supervisor = Supervisor(on_exit=lambda child, code: ends.append((child.spec.name, code)))
    first = supervisor.start(_python("import sys, time; time.sleep(600)"))
    os.kill(first.pid, signal.SIGKILL)

    def is_replaced() -> bool:
        supervisor.run_once()
        return "child" in supervisor.children and supervisor.children["child"].pid != first.pid

    wait_until(is_replaced, what="a new child")

    assert ends == [("child", -signal.SIGKILL)]
    supervisor.stop()


def test_a_child_that_keeps_failing_is_started_ever_more_slowly():
    supervisor = Supervisor()
    supervisor.start(_python("raise SystemExit(3)"))
    delays = []

    def has_failed_thrice() -> bool:
        if supervisor.children and supervisor.children["child"].exit_code is not None:
            delays.append(supervisor.run_once())
        supervisor.wait(min(supervisor.run_once(), 0.05))
        return len(delays) == 3

    wait_until(has_failed_thrice, what="three failures")

    assert delays == pytest.approx([0.25, 0.5, 1.0], abs=0.05)
    supervisor.stop()


_COUNTS_SIGTERMS = (
    "import os, signal, time\n"
    "signal.signal(15, lambda *_: os.write(1, b'asked '))\n"
    "os.write(1, b'up ')\n"
    "while True: time.sleep(600)\n"
)


def test_a_retired_child_is_asked_once_killed_after_its_grace_and_not_started_again(tmp_path):
    log = tmp_path / "log"
    ends = []
    supervisor = Supervisor(on_exit=lambda _child, code: ends.append(code))
    supervisor.start(_python(_COUNTS_SIGTERMS, grace=0.5, log=log))
    wait_until(lambda: "up" in log.read_text(), what="the handler")
    for _ in range(2):
        thread = threading.Thread(target=supervisor.retire, args=("child",))
        thread.start()
        thread.join()
        supervisor.run_once()

    def has_ended() -> bool:
        supervisor.run_once()
        return not supervisor.children

    wait_until(has_ended, what="its end")

    assert ends == [-signal.SIGKILL]
    assert log.read_text().split() == ["up", "asked"]
    assert supervisor.run_once() == 1.0  # nothing is due
    assert supervisor.exit_code == 0
    supervisor.start(_python("raise SystemExit(3)"))  # the name is free again
    wait_until(lambda: supervisor.run_once() < 1.0, what="the restart of its namesake")
    supervisor.stop()


def test_a_child_that_is_retired_at_its_end_or_before_its_restart_is_not_started_again():
    def note(child, _code):
        if child.spec.name == "first":
            supervisor.retire("first")

    supervisor = Supervisor(on_exit=note)
    for name in ("first", "second"):
        supervisor.start(_python("raise SystemExit(3)", name=name))
    ended = set()

    def have_ended() -> bool:
        supervisor.run_once()
        ended.update({"first", "second"} - supervisor.children.keys())
        if "second" in ended:
            supervisor.retire("second")
        return len(ended) == 2

    wait_until(have_ended, what="the end of both")

    assert supervisor.run_once() == 1.0
    assert not supervisor.children
    supervisor.stop()


def test_the_end_of_an_indispensable_child_stops_the_rest_and_reports_failure():
    supervisor = Supervisor()
    bystander = supervisor.start(_python("import time; time.sleep(600)", name="bystander"))
    supervisor.start(_python("raise SystemExit(0)", name="database", restart=False))

    exit_code = supervisor.run()

    assert exit_code == 1
    assert not is_alive(bystander.pid)


def test_what_a_child_leaves_in_its_process_group_goes_with_it(tmp_path):
    source = (
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "open(sys.argv[1] + '.new', 'w').write(str(child.pid))\n"
        "import os; os.rename(sys.argv[1] + '.new', sys.argv[1])\n"
    )
    child = spawn(_python(source, str(tmp_path / "pid")))
    wait_until((tmp_path / "pid").exists, what="the grandchild is up")
    grandchild = int((tmp_path / "pid").read_text())

    child.stop()

    wait_until(lambda: not is_alive(grandchild), what="the grandchild is gone")


def test_a_second_signal_cuts_the_grace_short():
    source = (
        "import os, sys\n"
        "from workers.supervisor import ChildSpec, Supervisor\n"
        "deaf = 'import signal, time; signal.signal(15, signal.SIG_IGN); print(\"up\", flush=True); time.sleep(600)'\n"
        "supervisor = Supervisor()\n"
        "supervisor.start(ChildSpec(name='deaf', argv=(sys.executable, '-c', deaf), grace=600))\n"
        "sys.exit(supervisor.run())\n"
    )
    with subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()

        process.terminate()
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.2)
        process.terminate()

        assert process.wait(timeout=10) == 0


def test_a_program_that_does_not_exist_is_refused_by_name():
    with pytest.raises(SupervisorError, match="web could not be started"):
        spawn(ChildSpec(name="web", argv=("/nowhere/program",)))


def test_spawning_from_another_thread_is_refused():
    refusals = []

    def attempt() -> None:
        try:
            spawn(_python("raise SystemExit(0)"))
        except SupervisorError as error:
            refusals.append(str(error))

    thread = threading.Thread(target=attempt)
    thread.start()
    thread.join()

    assert len(refusals) == 1
    assert "main thread" in refusals[0]


@pytest.mark.parametrize(("code", "text"), [(0, "exit code 0"), (3, "exit code 3"), (-9, "SIGKILL"), (-64, "SIGRTMAX")])
def test_an_exit_code_reads_as_what_happened(code, text):
    assert describe_exit(code) == text
