"""Patterns of topics: which events a schedule listens to. Pure.

A topic is words joined by dots. In a pattern `*` stands for one word and `**`, as the last word, for one or more. So
that an event finds its listeners by a few index probes, however many there are, the patterns that match a topic are
enumerated: at most 561 of them, because a pattern has at most ten words and three `*`.
"""

import re
from collections.abc import Iterator
from itertools import combinations

# What is told on these starts nothing by itself: ends of runs are followed by the kind `after`, and a met condition by
# its own schedule.
STARTS_NOTHING = frozenset({"run.succeeded", "run.failed", "run.canceled", "condition.met"})

MAX_WORDS = 10
MAX_STARS = 3

_WORD = r"[A-Za-z0-9_-]+"
_PATTERN = re.compile(rf"(({_WORD}|\*)(\.({_WORD}|\*))*(\.\*\*)?|\*\*)", re.ASCII)


def problem_of(pattern: str) -> str | None:
    """What is wrong with a pattern, as a sentence; None for a good one."""
    if _PATTERN.fullmatch(pattern) is None:
        return "A pattern is words joined by dots, with * for one word and ** at the end for all that follow."
    words = pattern.split(".")
    if len(words) > MAX_WORDS:
        return f"A pattern has at most {MAX_WORDS} words."
    if words.count("*") > MAX_STARS:
        return f"A pattern has at most {MAX_STARS} words that are *."
    return None


def patterns_of(topic: str) -> list[str]:
    """Every pattern that matches the topic."""
    words = topic.split(".")
    prefixes = (prefix for size in range(_longest_prefix(words)) for prefix in _stars(words[:size]))
    found = [f"{prefix}.**" if prefix else "**" for prefix in prefixes]
    if len(words) <= MAX_WORDS:
        found += _stars(words)
    return found


def _longest_prefix(words: list[str]) -> int:
    """One more than how many words may stand before `**`, which needs one for itself."""
    return min(len(words), MAX_WORDS)


def _stars(words: list[str]) -> Iterator[str]:
    """The words with up to three of them replaced by `*`."""
    for count in range(min(MAX_STARS, len(words)) + 1):
        for places in combinations(range(len(words)), count):
            yield ".".join("*" if place in places else word for place, word in enumerate(words))
