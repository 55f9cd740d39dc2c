"""How much a test tries: a part in a run of all tests, the whole under `make torture ARGS='tests tests/property'`."""

import os
from typing import Any

_IS_TORTURE = "ORDINAUT_TEST_TORTURE_SEED" in os.environ


def examples(count: int, part: int = 2) -> int:
    """Of so many random cases half, or a lesser part where each is dear, for there are ten minutes for everything; what
    they find is kept as an example."""
    return count if _IS_TORTURE else count // part


def in_torture_also(always: list[Any], in_torture: list[Any]) -> list[Any]:
    """The cases of a test: the short form, or, under `make torture`, all of them."""
    return [*always, *in_torture] if _IS_TORTURE else always
