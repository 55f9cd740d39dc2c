"""Wait for the end of a run, for a caller that asked to."""

import threading
import time
from uuid import UUID

from django.db import connection

from scheduling.runs.models import Run
from scheduling.runs.states import FINAL_STATES

LONGEST_WAIT = 30.0  # seconds
_LOOKS_EVERY = 0.2
# A waiting caller holds a thread of the web process, of which there are sixteen; the others answer everybody else.
_WAITERS = threading.BoundedSemaphore(8)


def wait_for_end(run_id: UUID, *, seconds: float) -> None:
    """Return when the run has ended, or after `seconds`; at once where too many wait in this process already.

    The database connection is given back between looks.
    """
    if seconds <= 0 or not _WAITERS.acquire(blocking=False):
        return
    try:
        deadline = time.monotonic() + min(seconds, LONGEST_WAIT)
        while not _has_ended(run_id) and time.monotonic() < deadline:
            if not connection.in_atomic_block:
                connection.close()
            time.sleep(min(_LOOKS_EVERY, max(0.0, deadline - time.monotonic())))
    finally:
        _WAITERS.release()


def _has_ended(run_id: UUID) -> bool:
    return not Run.objects.filter(pk=run_id).exclude(state__in=FINAL_STATES).exists()
