"""The clock's loop: nothing ends it but `stop()`."""

from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from scheduling.clock import metrics
from scheduling.clock.firing import PassResult, run_pass
from scheduling.clock.loop import Clock
from scheduling.models import Run
from tests.factories import ScheduleFactory

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (TypeError("a mistake of ours"), "unexpected"),
        (MemoryError(), "unexpected"),
        (RecursionError(), "unexpected"),
        (psycopg.OperationalError("the server closed the connection"), "connection"),
        (psycopg.errors.UndefinedTable("another release"), "schema"),
    ],
)
def test_whatever_a_pass_raises_is_counted_and_the_next_one_fires(
    error: Exception, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = datetime.now(UTC)
    ScheduleFactory(kind="once", expression=at.isoformat(), next_fire_at=at)
    clock = Clock()
    passes: list[bool] = []
    ready: list[bool] = []

    def fail_first(**arguments: Any) -> PassResult:
        passes.append(True)
        if len(passes) == 1:
            raise error
        ready.append(clock.readiness.is_ready)
        result = run_pass(**arguments)
        clock.stop()
        return result

    monkeypatch.setattr("scheduling.clock.loop.run_pass", fail_first)
    before = metrics.FAULTS.labels(kind)._value.get()

    clock.run()

    assert Run.objects.count() == 1
    assert ready == [False]
    assert clock.readiness.answer()[1]["failures"] == 0
    assert metrics.FAULTS.labels(kind)._value.get() == before + 1
