"""What lacks a setting, or has one of the wrong form, says which in a line, and does nothing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import ROOT


def refused(tmp_path: Path, *command: str, **settings: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ORDINAUT_", "PYTEST_"))}
    env = {**kept, "DATABASE_URL": "", "REDIS_URL": "", "ORDINAUT_STATE_DIR": str(tmp_path), **settings}
    return subprocess.run(
        [sys.executable, "manage.py", *command], cwd=ROOT, env=env, capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize("command", ["runscheduler", "runworkers"])
def test_a_service_without_key_and_database_does_not_start(command: str, tmp_path: Path) -> None:
    told = refused(tmp_path, command)

    assert told.returncode == 1
    assert "scheduling.E002" in told.stderr
    assert "DATABASE_URL is missing" in told.stderr
    assert "Traceback" not in told.stderr


@pytest.mark.parametrize("command", ["createagent curious", "prune --dry-run"])
def test_a_command_without_a_database_says_so(command: str, tmp_path: Path) -> None:
    told = refused(tmp_path, *command.split(), ORDINAUT_SECRET_KEY="k" * 60)

    assert told.returncode == 1
    assert told.stderr == "manage.py: DATABASE_URL is missing; set it to postgresql://user:password@host:port/name.\n"


@pytest.mark.parametrize("command", ["createagent curious", "prune --dry-run"])
def test_a_command_says_that_the_database_does_not_answer(command: str, tmp_path: Path) -> None:
    nobody = "postgresql://nobody@127.0.0.1:1/none"
    told = refused(tmp_path, *command.split(), ORDINAUT_SECRET_KEY="k" * 60, DATABASE_URL=nobody)

    assert told.returncode == 1
    assert "refused" in told.stderr
    assert "Traceback" not in told.stderr


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("ORDINAUT_KEEP_FAILED", "99999", "must be between 0 and 36500 days, not 99999.0"),
        ("ORDINAUT_KEEP_FAILED", "long", "must be a number of days, not 'long'"),
        ("ORDINAUT_SMTP_TLS", "perhaps", "must be true or false, not 'perhaps'"),
    ],
)
def test_a_setting_of_the_wrong_form_is_told_in_a_line(tmp_path: Path, name: str, value: str, told: str) -> None:
    ended = refused(tmp_path, "prune", **{name: value})

    assert ended.returncode == 1
    assert ended.stderr == f"manage.py: {name} {told}\n"


def test_what_led_to_it_is_told_on_demand(tmp_path: Path) -> None:
    ended = refused(tmp_path, "prune", "--traceback", ORDINAUT_KEEP_FAILED="long")

    assert "Traceback" in ended.stderr
