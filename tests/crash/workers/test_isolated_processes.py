"""Two calls of an isolated tool and one process for them, in a real worker."""

import pytest

from tests.crash.workers.conftest import Fleet
from tests.waiting import wait_until
from tests.workers_support import run_of
from workers.explain import explain, explainable

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_step_that_waits_for_an_isolated_process_is_explained_so_and_then_runs(fleet: Fleet):
    fleet.env["ORDINAUT_ISOLATED_PROCESSES"] = "1"
    works = [fleet.held_run(tool="test.hold_isolated") for _ in range(2)]

    def codes() -> list[str]:
        return sorted(explain(explainable(work.pk)).reasons[0].code for work in works)

    with fleet.host():
        wait_until(lambda: codes() == ["running", "waits_for_process"], what="one that runs and one that waits")
        [waiting] = [work for work in works if explain(explainable(work.pk)).reasons[0].code == "waits_for_process"]
        began = fleet.seen("began")

        fleet.release()
        wait_until(lambda: all(run_of(work).state == "succeeded" for work in works))

    assert str(waiting.pk) not in [line["run"] for line in began]
