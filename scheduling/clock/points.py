"""Named points of a pass, and of what follows it, at which a crash test makes the clock die or stand still.

Armed by ORDINAUT_TEST_CLOCK_POINT, as `kill:after-lock` (SIGKILL to itself, as the kernel or an operator would) or
`stop:after-lock` (SIGSTOP, once; the test sends SIGCONT). Unarmed, a point costs one comparison.
"""

import os
import signal

from scheduling import conf

POINTS = (
    "before-read",
    "after-read",
    "after-plan",
    "after-lock-alone",
    "before-commit-alone",
    "after-lock",
    "after-admit",
    "after-misses",
    "before-commit",
    "after-commit",
    "before-sleep",
)
# While the clock acts on the ends of runs, in the transaction that takes the end.
POINTS_OF_ENDS = ("end-taken", "end-acted-on")
# What is due next is planned, and its instant has come (see `ahead`).
POINTS_OF_AHEAD = ("ahead-planned", "ahead-due")
_SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}

_armed: dict[str, signal.Signals] = {}


def arm(order: str | None = None) -> None:
    """Take the order from the settings, or the given one. ValueError where it names nothing that there is."""
    _armed.clear()
    given = conf.clock_test_point() if order is None else order
    if not given:
        return
    deed, _, point = given.partition(":")
    known = (*POINTS, *POINTS_OF_ENDS, *POINTS_OF_AHEAD)
    if deed not in _SIGNALS or point not in known:
        raise ValueError(f"{given!r} is not kill: or stop: and one of {', '.join(known)}")
    _armed[point] = _SIGNALS[deed]


def reach(point: str) -> None:
    """Do what was ordered for this point, the first time that it is reached."""
    if _armed and point in _armed:
        os.kill(os.getpid(), _armed.pop(point))
