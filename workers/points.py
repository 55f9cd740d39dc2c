"""Named points between the statements of a worker host, at which a crash test makes a process die or stand still.

Armed by ORDINAUT_TEST_WORKER_POINT, as `kill:after-claim` (SIGKILL to itself) or `stop:after-claim` (SIGSTOP, and
somebody sends SIGCONT), once in the life of a process; `stop:after-claim:5` at the fifth time that it gets there.
Unarmed, a point costs one comparison. `statement` comes before every statement that a process sends, whichever it is.
"""

import os
import signal
from collections.abc import Callable
from typing import Any

from workers import conf

# Of a worker process, in the order in which a run passes them.
POINTS_OF_PROCESS = (
    "before-claim",
    "after-claim",  # leased, and the process knows nothing of the run yet
    "after-brief",
    "before-call",  # the intent of an effect is committed
    "after-call",  # the effect has happened, its result is not committed
    "before-journal",
    "after-journal",  # committed, and not acknowledged to the slot
    "before-settle",
)
# Of a claim that is shared between queues, between the statements of its transaction. The last two: with a rate.
POINTS_OF_SHARED_CLAIM = ("claim-dealt", "bucket-locked", "before-spend")
# Of the supervisor.
POINTS_OF_HOST = ("before-beat", "after-beat", "after-declare", "before-give-away-commit")
BEFORE_ANY_STATEMENT = "statement"
POINTS = (BEFORE_ANY_STATEMENT, *POINTS_OF_PROCESS, *POINTS_OF_SHARED_CLAIM, *POINTS_OF_HOST)
_SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}

_armed: dict[str, tuple[signal.Signals, int]] = {}


def arm(order: str | None = None) -> None:
    """Take the order from the settings, or the given one. ValueError where it names nothing that there is."""
    _armed.clear()
    given = conf.test_point() if order is None else order
    if not given:
        return
    deed, _, rest = given.partition(":")
    point, _, times = rest.partition(":")
    if deed not in _SIGNALS or point not in POINTS or not (times or "1").isdigit():
        raise ValueError(f"{given!r} is not kill: or stop:, one of {', '.join(POINTS)}, and perhaps :times")
    _armed[point] = _SIGNALS[deed], int(times or "1")


def reaching(execute: Callable[..., Any], *given: Any) -> Any:
    """For `execute_wrapper`: reach the point before every statement of a connection of Django's."""
    reach(BEFORE_ANY_STATEMENT)
    return execute(*given)


def reach(point: str) -> None:
    """Do what was ordered for this point, when it is reached for the time that was named."""
    if _armed and point in _armed:
        deed, left = _armed.pop(point)
        if left > 1:
            _armed[point] = deed, left - 1
        else:
            os.kill(os.getpid(), deed)
