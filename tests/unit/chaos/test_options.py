"""The options of `make torture`: what would try nothing is refused."""

import shlex
import subprocess
import sys

import pytest

from tests import torture
from tests.chaos.__main__ import parser
from tests.chaos.plan import needs_pooler


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--only", "worker.kil1"], "no kind of fault begins with worker.kil1; there are worker.kill, "),
        (["--only", "worker,nothing"], "begins with nothing;"),
        (["--rounds", "0"], "--rounds"),
        (["tests", "--rounds", "0"], "--rounds"),
    ],
)
def test_what_would_try_nothing_is_refused(arguments, words, capsys):
    with pytest.raises(SystemExit) as ended:
        torture.main(arguments)

    assert ended.value.code == 2
    assert words in capsys.readouterr().err


def test_kinds_are_named_by_their_beginning():
    assert parser().parse_args(["--only", "worker, network.slow"]).only == ("worker", "network.slow")


@pytest.mark.parametrize("name", ["test_it.py", "test it's $HOME.py"])
def test_the_command_that_is_printed_repeats_what_failed(name, tmp_path, monkeypatch, capsys):
    """As the shell, make and its shell hand it on."""
    file = tmp_path / name
    ran = []

    def fail(seed, tests):
        ran.append((seed, tests))
        return 1

    monkeypatch.setattr(torture, "_round", fail)
    assert torture.main(["tests", str(file), "--seed", "7", "--rounds", "1"]) == 1

    assert torture.main(handed_on(capsys.readouterr().out)) == 1

    assert ran == [(7, [str(file)])] * 2


def test_the_command_for_the_tests_that_are_run_by_default_names_none(monkeypatch, capsys):
    monkeypatch.setattr(torture, "_round", lambda seed, tests: 1)

    torture.main(["tests", "--seed", "7"])

    assert "again by: make torture ARGS='tests --seed 7 --rounds 1'\n" in capsys.readouterr().out


def handed_on(printed):
    """The words that reach the driver by the command on the last line."""
    command = shlex.split(printed.splitlines()[-1].partition("again by: ")[2])
    assert command[:2] == ["make", "torture"]
    ran = subprocess.run(
        # Inside of `make test` it would say where it is.
        ["make", "--no-print-directory", "-f", "-", "torture", *command[2:]],
        input="torture:\n\t@printf '%s\\n' $(ARGS)\n",
        capture_output=True,
        text=True,
        check=True,
    )
    return ran.stdout.splitlines()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--only", "pooler", "--pooler", "no", "--seed", "7"], "pooler.kill is left out (no PgBouncer in this round)"),
        (["--only", "clock.kill", "--seed", "1", "--seconds", "0.01"], "none of clock.kill within 0.01 s"),
    ],
)
def test_a_round_that_no_fault_would_befall_fails_and_says_why(arguments, words, tmp_path):
    """In a process of its own, as a round that does begin starts servers."""
    command = [
        sys.executable,
        "-m",
        "tests.torture",
        *arguments,
        "--rounds",
        "1",
        "--nested",
        "0",
        f"--keep={tmp_path}",
    ]
    ran = subprocess.run(command, cwd=torture.ROOT, capture_output=True, text=True, timeout=100, check=False)

    assert ran.returncode == 2, ran.stdout
    assert words in ran.stdout
    assert "passed" not in ran.stdout
    assert "again by: make torture ARGS=" in ran.stdout


@pytest.mark.parametrize(
    ("only", "is_needed"), [(("pooler",), True), (("pooler.kill",), True), (("pooler", "worker"), False), ((), False)]
)
def test_a_round_of_faults_of_the_pooler_alone_has_one(only, is_needed):
    assert needs_pooler(only) is is_needed
