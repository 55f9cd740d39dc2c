"""Processor time that rules take, the best of a few turns, so that a busy machine does not fail what is fast."""

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from scheduling.core.recurrence import Rule, compile_rule
from scheduling.core.recurrence.days import day_table

TEN_YEARS_AGO = datetime(2015, 1, 1)
TODAY = datetime(2025, 6, 4, 10, 30, tzinfo=UTC)


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    # A collection of the whole suite's garbage is none of the rule's doing, and takes 0.24 s.
    gc.disable()
    try:
        began = time.thread_time()
        yield
        took = time.thread_time() - began
    finally:
        gc.enable()
    assert took < seconds


def cost_of_compiling(expression: str, *, turns: int = 5, enough: float = 0.0, **fields: Any) -> float:
    """Seconds until the first answer of a rule that has never been read, the best of some turns, the last of which is
    the first that takes no more than `enough`."""
    rule = Rule(kind="rrule", expression=expression, **fields)
    best = float("inf")
    for _ in range(turns):
        compile_rule.cache_clear()
        day_table.cache_clear()
        began = time.thread_time()
        compile_rule(rule).next_after(TODAY)
        best = min(best, time.thread_time() - began)
        if best <= enough:
            break
    return best
