"""A short round of the torture driver: real processes, load, and faults that a seed throws at everything at once."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

from ordinaut_project.embedded.binaries import EmbeddedError, postgres_program
from tests.crash.clocks_support import SEED
from tests.processes import ROOT, inherited_env

pytestmark = pytest.mark.slow


def test_a_short_round_breaks_no_invariant(tmp_path: Path):
    """Its seed is drawn and printed; the whole folder of a broken round is kept, with the command that repeats it."""
    try:
        postgres_program("postgres")
    except EmbeddedError as error:
        pytest.skip(f"a private PostgreSQL is needed: {error}")
    seed = random.randrange(1_000_000) if SEED is None else int(SEED)
    command = [
        sys.executable,
        "-m",
        "tests.torture",
        f"--seed={seed}",
        "--rounds=1",
        "--seconds=15",
        "--processes=1",
        "--nested=0",
    ]

    done = subprocess.run(command, cwd=ROOT, env=inherited_env(), capture_output=True, text=True, timeout=600)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 round passed" in done.stdout
