"""Where the probes of a claim begin."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from workers.floors import Floors

AT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def test_one_claim_of_a_second_looks_from_the_beginning():
    """The others begin where the last one ended: only that one passes over the dead rows before."""
    floors = Floors(["default"])
    beginnings = []
    for eighth in range(24):
        asked = floors.parameters(now=1000 + eighth / 8)
        beginnings += [eighth] * (min(asked["floors"]) < AT)
        floors.raise_to(took(asked))

    assert beginnings == [0, 8, 16]


def took(asked: dict[str, Any]) -> Any:
    """One run of each probe."""
    probes = zip(asked["queues"], asked["priorities"], strict=True)
    return [SimpleNamespace(queue=queue, priority=priority, available_at=AT) for queue, priority in probes]
