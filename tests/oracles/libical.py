"""Record what libical answers: python tests/oracles/libical.py writes libical.json beside this file.

libical is the C library of Evolution and KDE, with a recurrence of its own design. It is no package of Python, and not
on every machine; so its answers are in the repository. Renew them (with Debian's libical3) when the cases change.
"""

import calendar
import ctypes
import json
from datetime import datetime, timedelta
from pathlib import Path

from tests.oracles.rrule_cases import Case, cases

LIMIT = 24
RECORDED = Path(__file__).with_suffix(".json")


def expand(case: Case) -> list[str]:
    """The first wall times of a rule, at most LIMIT."""
    library = ctypes.CDLL("libical.so.3")
    expansion = library.icalrecur_expand_recurrence
    expansion.argtypes = [ctypes.c_char_p, ctypes.c_int64, ctypes.c_int, ctypes.POINTER(ctypes.c_int64)]
    found = (ctypes.c_int64 * LIMIT)()
    start = calendar.timegm(case.start.timetuple())
    expansion(case.rule.encode(), start, LIMIT, found)
    return [(datetime(1970, 1, 1) + timedelta(seconds=at)).isoformat() for at in found if at]


if __name__ == "__main__":
    answers = {case.key: expand(case) for case in cases()}
    RECORDED.write_text(json.dumps(answers, indent=0, sort_keys=True) + "\n")
