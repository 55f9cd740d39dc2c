"""The tables of `docs/explanation/policies.md` about failures and conditions, run against the database."""

from pathlib import Path

import pytest

from scheduling.runs.states import RunState
from scheduling.triggers.run_ends import act_on_run_ends
from tests.db.triggers.conftest import end
from tests.db.triggers.test_conditions import fired, see, watch
from tests.factories import DueWorkFactory, RunFactory, TaskFactory

pytestmark = pytest.mark.django_db

PAGE = (Path(__file__).parents[3] / "docs" / "explanation" / "policies.md").read_text()


def table(head: str) -> list[list[str]]:
    """The rows below that head."""
    _, _, rest = PAGE.partition(f"{head}\n")
    rows = rest.partition("\n\n")[0].splitlines()[1:]
    assert rows
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def test_a_task_is_paused_after_the_failures_that_the_page_shows():
    task = TaskFactory(pause_after_failures=3)

    for _, how, state in table("| run | ends | the task is |"):
        run = RunFactory(task=task)
        DueWorkFactory(run=run, is_watched=True)
        end(run, RunState(how))
        act_on_run_ends()

        task.refresh_from_db()
        assert task.state == state


def test_a_condition_fires_on_the_edges_that_the_page_shows():
    schedule = watch()
    found = {"true": {"met": True}, "false": {"met": False}, "fails": None}
    before = 0

    for at, finds, fires in table("| check | finds | fires |"):
        see(schedule, found[finds], RunState.FAILED if finds == "fails" else RunState.SUCCEEDED)

        assert len(fired(schedule)) - before == {"yes": 1, "no": 0}[fires], at
        before = len(fired(schedule))
