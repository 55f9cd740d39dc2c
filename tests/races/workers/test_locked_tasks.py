"""A second connection holds the row of a task, or of a key. What waits behind other gates is admitted all the same."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import OperationalError
from psycopg import Connection

from scheduling.models import ConcurrencyKey, DueWork
from scheduling.tasks.models import Task
from tests.factories import DueWorkFactory, RunFactory, TaskFactory
from workers.connection import conninfo
from workers.gates import _release, sweep_gates

pytestmark = pytest.mark.django_db(transaction=True)


def held_behind_overlap() -> tuple[Task, DueWork]:
    task = TaskFactory(overlap="queue_all")
    return task, DueWorkFactory(run=RunFactory(task=task), gate="overlap", is_exclusive=True)


def held_behind_a_key(key: str) -> DueWork:
    ConcurrencyKey.objects.create(key=key, limit=1)
    return DueWorkFactory(gate="key", concurrency_key=key)


@contextmanager
def locked(table: str, column: str, value: Any) -> Iterator[Connection]:
    with Connection.connect(conninfo()) as other:
        other.execute(f"SELECT FROM {table} WHERE {column} = %s FOR UPDATE", [value])
        yield other


def gates(*works: DueWork) -> list[str | None]:
    return [DueWork.objects.get(pk=work.pk).gate for work in works]


def test_the_sweep_passes_over_a_locked_task_and_admits_the_others():
    (task, behind), (_, free), keyed = held_behind_overlap(), held_behind_overlap(), held_behind_a_key("k")

    with locked("scheduling_task", "id", task.pk):
        assert sweep_gates() == 2
        assert gates(behind, free, keyed) == ["overlap", None, None]

    assert sweep_gates() == 1
    assert gates(behind) == [None]


def test_the_sweep_passes_over_a_locked_key_and_admits_the_others():
    first, second = held_behind_a_key("a"), held_behind_a_key("b")

    with locked("scheduling_concurrencykey", "key", "a"):
        assert sweep_gates() == 1
        assert gates(first, second) == ["key", None]

    assert sweep_gates() == 1


def test_after_a_run_has_ended_a_locked_task_is_not_waited_for_for_long():
    task, behind = held_behind_overlap()

    with locked("scheduling_task", "id", task.pk), pytest.raises(OperationalError, match="lock timeout"):
        _release([task.pk], [])

    assert gates(behind) == ["overlap"]
