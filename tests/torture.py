"""`python -m tests.torture`: rounds of load and faults on a private installation (see `tests.chaos`).

`tests` as the first word repeats the crash and race tests instead, each round with another seed, for a given time. The
seed decides the order of the tests and is handed to them as ORDINAUT_TEST_TORTURE_SEED, for the moments at which they
kill and for the faults that befall; under it tests take their long forms. It is printed before each round:
`tests WHAT --seed N --rounds 1` repeats that round, and a round that fails prints the whole command.
"""

import argparse
import os
import random
import subprocess
import sys
import time
from pathlib import Path

from scheduling.management.options import at_least_one
from tests.chaos.__main__ import main as torture
from tests.chaos.again import again_by

ROOT = Path(__file__).resolve().parent.parent
REPEAT = "tests"
_NO_TESTS = 5
TESTS = ["tests/crash", "tests/races"]


def main(arguments: list[str]) -> int:
    return repeat(arguments[1:]) if arguments[:1] == [REPEAT] else torture(arguments)


def repeat(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog=f"make torture: {REPEAT}", description=__doc__)
    parser.add_argument("--seed", type=int, default=None, help="of the first round; each next one adds 1")
    parser.add_argument("--minutes", type=float, default=5.0, help="start no round after this time (default: 5)")
    parser.add_argument("--rounds", type=at_least_one, default=sys.maxsize, help="stop after so many rounds")
    parser.add_argument("tests", nargs="*", default=TESTS, help=f"what to run (default: {' '.join(TESTS)})")
    options = parser.parse_args(arguments)
    seed = random.randrange(1_000_000) if options.seed is None else options.seed
    ends_at = time.monotonic() + options.minutes * 60
    done = 0
    while done < options.rounds and (done == 0 or time.monotonic() < ends_at):
        sys.stdout.write(f"round {done + 1}: seed {seed + done}\n")
        sys.stdout.flush()
        exit_code = _round(seed + done, options.tests)
        if exit_code != 0:
            named = [] if options.tests == TESTS else options.tests
            words = [REPEAT, *named, "--seed", str(seed + done), "--rounds", "1"]
            sys.stdout.write(f"failed; {again_by(words)}")
            return exit_code
        done += 1
    sys.stdout.write(f"{done} rounds passed\n")
    return 0


def _round(seed: int, tests: list[str]) -> int:
    files = sorted(str(path) for test in tests for path in _test_files(ROOT / test))
    random.Random(seed).shuffle(files)
    if not files:
        sys.stdout.write(f"no tests in {', '.join(tests)}\n")
        return _NO_TESTS
    environment = {**os.environ, "ORDINAUT_TEST_TORTURE_SEED": str(seed)}
    return subprocess.run([sys.executable, "-m", "pytest", "-q", "-x", *files], cwd=ROOT, env=environment).returncode


def _test_files(path: Path) -> list[Path]:
    return [path] if path.is_file() else list(path.rglob("test_*.py"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
