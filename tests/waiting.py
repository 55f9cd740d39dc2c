"""Wait for a condition instead of sleeping."""

import time
from collections.abc import Callable
from typing import TypeVar

Seen = TypeVar("Seen")


def wait_until(condition: Callable[[], Seen | None], *, timeout: float = 20.0, what: str = "") -> Seen:
    """Return the first true answer of `condition`; fail after `timeout` seconds, saying what was waited for."""
    deadline = time.monotonic() + timeout
    while True:
        seen = condition()
        if seen:
            return seen
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout} s in vain for {what or condition}; last seen: {seen!r}")
        time.sleep(0.02)
