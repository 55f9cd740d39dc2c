"""The plans of the audit's statements, at a size at which a scan would hurt."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connection

from scheduling.clock import accounting, overdue
from scheduling.models import Schedule
from scheduling.schedules.rules import ACCOUNTED_FOR_EVER
from tests.factories import ScheduleFactory
from tests.population import copies_of

pytestmark = pytest.mark.django_db(transaction=True)

HOW_MANY = 20_000


def explained(statement: str, parameters: list[Any]) -> str:
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {statement}", parameters)
        return "\n".join(line for (line,) in cursor.fetchall())


def test_the_statements_of_the_audit_use_their_indexes_at_size() -> None:
    copies_of(
        ScheduleFactory(),
        HOW_MANY,
        next_fire_at="next_fire_at + n %% 100 * interval '1 day'",
        accounted_until="next_fire_at + n %% 100 * interval '1 day' - interval '1 us'",
    )
    with connection.cursor() as cursor:
        cursor.execute("VACUUM (ANALYZE) scheduling_schedule")
    ids = list(Schedule.objects.order_by("pk").values_list("pk", flat=True))

    end = explained(accounting._END_OF_WINDOW, [UUID(int=0), 1000])
    moved = explained(accounting._MOVED, [UUID(int=0), ids[1000], ACCOUNTED_FOR_EVER, 500])
    counted = explained(overdue._OVERDUE, [10_000, timedelta(seconds=10), 10_000])
    untold = explained(overdue._UNTOLD, [timedelta(minutes=1), 10_000, 100])

    for plan in (end, moved, counted, untold):
        assert "Seq Scan on scheduling_schedule" not in plan
    assert "schedule_quarantined_idx" in counted
    assert "scheduling_schedule_pkey" in end
    assert "scheduling_schedule_pkey" in moved
    assert "schedule_due_idx" in counted
    assert "schedule_due_idx" in untold
