"""A service that lacks a setting says which, and does not start."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import ROOT


@pytest.mark.parametrize("command", ["runscheduler", "runworkers"])
def test_a_service_without_key_and_database_does_not_start(command: str, tmp_path: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ORDINAUT_", "PYTEST_"))}
    env = {**kept, "DATABASE_URL": "", "REDIS_URL": "", "ORDINAUT_STATE_DIR": str(tmp_path)}

    refused = subprocess.run(
        [sys.executable, "manage.py", command], cwd=ROOT, env=env, capture_output=True, text=True, timeout=60
    )

    assert refused.returncode == 1
    assert "scheduling.E002" in refused.stderr
    assert "DATABASE_URL is missing" in refused.stderr
    assert "Traceback" not in refused.stderr
