"""The exit codes of worker processes have words, and the reference page has the same."""

import re
import signal
from pathlib import Path

import pytest

import workers
from tests.processes import ROOT
from workers import exits
from workers.supervisor import ChildSpec, describe_exit

CODES = {name: value for name, value in vars(exits).items() if name.isupper() and isinstance(value, int)}
PAGE = ROOT / "docs" / "reference" / "workers.md"


def test_every_code_that_a_process_is_ended_with_has_words():
    used = {
        name
        for path in Path(workers.__file__).parent.rglob("*.py")
        for name in re.findall(r"\bexits\.([A-Z]+)\b", path.read_text(encoding="utf-8"))
    } - {"WORDS"}

    assert used
    assert used <= set(CODES)
    assert set(CODES.values()) <= set(exits.WORDS)


def test_every_signal_that_a_host_sends_to_a_process_has_words():
    spec = ChildSpec(name="worker", argv=())

    assert {-spec.stop_signal, -spec.death_signal} <= set(exits.WORDS)


def test_the_page_about_workers_has_every_code_with_its_words():
    rows = dict(re.findall(r"^\| `?(-?\w+)`? \| (.+?) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE))

    shown = {
        describe_exit(code).removeprefix("exit code "): words.replace("|", "\\|") for code, words in exits.WORDS.items()
    }
    assert shown.items() <= rows.items()


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (exits.HURRIED, "exit code 3 (stopped at once: everything was put back)"),
        (-signal.SIGSEGV, "SIGSEGV (crashed in native code)"),
        (42, "exit code 42"),
        (-signal.SIGUSR1, "SIGUSR1"),
    ],
)
def test_the_words_follow_the_code(code, words):
    assert exits.exit_words(code) == words
