"""A page costs the same number of queries however much is on it."""

import pytest

from tests.factories import RunFactory, ScheduleFactory, StepRunFactory, TaskFactory

pytestmark = pytest.mark.django_db

MOST = 12


def test_lists_and_pages_cost_a_fixed_number_of_queries(api, django_assert_max_num_queries):
    def grow(count: int) -> None:
        for _ in range(count):
            task = TaskFactory(agent=api.agent)
            ScheduleFactory.create_batch(2, task=task)
            RunFactory(task=task, dead=True)
            RunFactory(task=task, succeeded=True)

    grow(1)
    run = RunFactory(task=TaskFactory(agent=api.agent), succeeded=True)
    StepRunFactory(run=run)
    paths = ["tasks", "runs", "schedules", f"runs/{run.pk}", f"runs/{run.pk}/steps"]
    api.get("agents/me")  # notes the token's use, once a minute

    def costs() -> list[int]:
        counted = []
        for path in paths:
            with django_assert_max_num_queries(MOST) as captured:
                assert api.get(path).status_code == 200
            counted.append(len(captured))
        return counted

    few = costs()
    grow(10)
    StepRunFactory.create_batch(20, run=run)

    assert costs() == few
    assert max(few) <= 5
