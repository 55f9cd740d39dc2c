"""The order in which a real worker with one slot starts what is due."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from scheduling.models import Run
from scheduling.runs.states import RunState
from tests.factories import DueWorkFactory, TaskFactory
from tests.processes import manage
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


def test_one_slot_starts_by_priority_then_due_time(process_env: dict[str, str], tmp_path: Path) -> None:
    task = TaskFactory()
    second = datetime.now(UTC) - timedelta(seconds=2)
    rows = [
        DueWorkFactory(
            run__task=task, priority=1 + number % 5, available_at=second + timedelta(milliseconds=number * 40)
        )
        for number in Random(7).sample(range(20), 20)
    ]

    with manage("runworkers", "--processes", "1", "--concurrency", "1", env=process_env, log=tmp_path / "workers.log"):
        wait_until(lambda: Run.objects.filter(state=RunState.SUCCEEDED).count() == 20, what="all runs to end")

    started = list(Run.objects.order_by("started_at").values_list("pk", flat=True))
    wanted = [row.run_id for row in sorted(rows, key=lambda row: (row.priority, row.available_at))]
    assert started == wanted
