"""Record what libical and ical.js answer to the cases: python -m tests.oracles.record

libical is the C library of Evolution and KDE, ical.js the JavaScript one of Thunderbird. Neither is a package of Python
nor on every machine, so their answers are in the repository; renew them when the cases change. It takes Debian's
libical3, Node, and ical.js beside this file:

    npm install --no-save --no-package-lock --prefix tests/oracles ical.js@2.2.1
"""

import calendar
import ctypes
import json
import re
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path

from tests.oracles.rrule_cases import Case, cases

# The first wall times of a rule, or why there are none.
Answer = list[str] | str

LIMIT = 24
PATIENCE = 10.0
FOLDER = Path(__file__).parent


def by_libical(case: Case) -> Answer:
    library = ctypes.CDLL("libical.so.3")
    expansion = library.icalrecur_expand_recurrence
    expansion.argtypes = [ctypes.c_char_p, ctypes.c_int64, ctypes.c_int, ctypes.POINTER(ctypes.c_int64)]
    found = (ctypes.c_int64 * LIMIT)()
    start = calendar.timegm(case.start.timetuple())
    expansion(case.rule.encode(), start, LIMIT, found)
    return [(datetime(1970, 1, 1) + timedelta(seconds=at)).isoformat() for at in found if at]


def by_ical_js(case: Case) -> Answer:
    """Asked in a process for each rule: some never come back."""
    command = ["node", str(FOLDER / "ical_js.mjs"), case.rule, case.start.isoformat(), str(LIMIT)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        return "no answer"
    if done.returncode == 0:
        return done.stdout.split()
    problem = re.search(r"^Error: (?!Cannot find).*", done.stderr, re.MULTILINE)
    if problem is None:
        raise RuntimeError(done.stderr)
    return problem[0]


def record(name: str, ask: Callable[[Case], Answer]) -> None:
    """A line for each case, so that a change of one is read as such."""
    asked = sorted(cases(), key=lambda case: case.key)
    with ThreadPoolExecutor() as pool:
        answers = pool.map(ask, asked)
        lines = [f"{json.dumps(case.key)}: {json.dumps(answer)}" for case, answer in zip(asked, answers, strict=True)]
    (FOLDER / name).write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    record("libical.json", by_libical)
    record("ical_js.json", by_ical_js)
