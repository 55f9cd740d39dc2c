"""How much a test tries: a part in a run of all tests, the whole under `make torture ARGS='tests tests/property'`."""

import os

_IS_TORTURE = "ORDINAUT_TEST_TORTURE_SEED" in os.environ


def examples(count: int) -> int:
    """Of so many random cases half, for there are ten minutes for everything; what they find is kept as an example."""
    return count if _IS_TORTURE else count // 2
