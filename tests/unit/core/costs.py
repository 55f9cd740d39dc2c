"""Processor time that rules take, the best of a few turns, so that a busy machine does not fail what is fast.

The seconds are those of the machine that the budgets were measured on (docs/explanation/performance.md): a bar of 20 ms
says the same of a core of half its speed, on which everything takes twice as long.
"""

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from scheduling.core.recurrence import Rule, compile_rule
from scheduling.core.recurrence.days import day_table

TEN_YEARS_AGO = datetime(2015, 1, 1)
TODAY = datetime(2025, 6, 4, 10, 30, tzinfo=UTC)
# What `_yardstick` takes on that machine, in seconds. It was not measured there, but where it took 9.2 ms and the
# dearest COUNT 21 ms, which had taken 11 there.
_THERE = 0.0048


def _yardstick() -> float:
    """Seconds that some arithmetic takes of the kind that rules are made of."""
    began = time.thread_time()
    at, step, seen = datetime(2000, 1, 1), timedelta(hours=7), {}
    for number in range(4000):
        at += step
        seen[at.weekday(), number % 97] = at.replace(microsecond=0)
    sorted(seen.values())
    return time.thread_time() - began


def slowness() -> float:
    """How many times as long as there everything takes here, at this moment; 1 where this machine is the faster one."""
    return max(1.0, min(_yardstick() for _ in range(3)) / _THERE)


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
    assert took / slowness() < seconds


def cost_of_compiling(expression: str, *, turns: int = 5, enough: float = 0.0, **fields: Any) -> float:
    """Seconds until the first answer of a rule that has never been read, the best of some turns, the last of which is
    the first that takes no more than `enough`."""
    rule = Rule(kind="rrule", expression=expression, **fields)
    best, here = float("inf"), slowness()
    for _ in range(turns):
        compile_rule.cache_clear()
        day_table.cache_clear()
        began = time.thread_time()
        compile_rule(rule).next_after(TODAY)
        best = min(best, (time.thread_time() - began) / here)
        if best <= enough:
            break
    return best
