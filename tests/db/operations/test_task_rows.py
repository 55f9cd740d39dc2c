"""What the table of tasks refuses, whoever writes it. A check that comes out as NULL would be passed."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError

from scheduling.models import Task
from tests.factories import TaskFactory

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    "columns",
    [
        {"concurrency_key": "one", "concurrency_limit": None},
        {"concurrency_key": "one", "concurrency_limit": 0},
        {"concurrency_key": "", "concurrency_limit": 1},
        {"dedupe_key": "one", "dedupe_window": None},
        {"dedupe_key": "one", "dedupe_window": timedelta(0)},
        {"dedupe_key": "", "dedupe_window": timedelta(1)},
    ],
)
def test_a_key_without_what_it_needs_is_refused(columns: dict[str, Any]) -> None:
    task = TaskFactory()

    with pytest.raises(IntegrityError, match=r"with_limit|with_window"):
        Task.objects.filter(pk=task.pk).update(**columns)
