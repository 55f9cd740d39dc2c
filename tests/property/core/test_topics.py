"""Enumerating the patterns of a topic equals matching each pattern against it."""

import re

from hypothesis import given
from hypothesis import strategies as st

from scheduling.core.topics import MAX_WORDS, patterns_of, problem_of

WORDS = st.sampled_from(["a", "b", "order"])
TOPICS = st.lists(WORDS, min_size=1, max_size=12).map(".".join)
PATTERNS = st.builds(
    lambda words, tail: ".".join([*words, *tail]) or "**",
    st.lists(st.sampled_from(["a", "b", "order", "*"]), max_size=MAX_WORDS),
    st.sampled_from([[], ["**"]]),
)


def matches(pattern: str, topic: str) -> bool:
    """The meaning of a pattern, told another way: as a regular expression."""
    parts = ["[^.]+" if word == "*" else ".+" if word == "**" else re.escape(word) for word in pattern.split(".")]
    return re.fullmatch(r"\.".join(parts), topic) is not None


@given(topic=TOPICS, pattern=PATTERNS)
def test_a_pattern_is_enumerated_exactly_where_it_matches(topic: str, pattern: str) -> None:
    if problem_of(pattern) is None:
        assert (pattern in patterns_of(topic)) == matches(pattern, topic)


@given(topic=st.lists(WORDS, min_size=1, max_size=100).map(".".join))
def test_the_patterns_of_a_topic_are_good_distinct_and_few(topic: str) -> None:
    found = patterns_of(topic)

    assert len(found) == len(set(found)) or len(set(topic.split("."))) < len(topic.split("."))
    assert len(found) <= 561
    assert all(problem_of(pattern) is None for pattern in found)
