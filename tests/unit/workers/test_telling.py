"""What logs and metrics say of a run that a slot is done with, simulated or not."""

from collections import Counter
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from scheduling.runs.states import FailureCause, RunState
from workers.claimed import ClaimedRun
from workers.settlement import Settlement
from workers.tally import SETTLED, SETTLED_SIMULATED, metrics
from workers.telling import tell


class Run:
    attempt = 1
    handback_count = 0

    def __init__(self, *, simulated: bool) -> None:
        self.simulated = simulated


@pytest.mark.parametrize(("simulated", "mark"), [(True, {"simulated": True}), (False, {})])
def test_the_line_of_a_simulated_run_says_so(simulated: bool, mark: dict[str, Any]) -> None:
    error = {"code": "refused", "detail": "no", "step": "send"}
    failed = Settlement(state=RunState.FAILED, attempt=1, is_final=True, cause=FailureCause.PERMANENT, error=error)

    with capture_logs() as lines:
        tell(failed, cast(ClaimedRun, Run(simulated=simulated)))

    assert lines == [
        {
            "event": "run.failed",
            "log_level": "warning",
            "cause": "permanent",
            "step": "send",
            "attempt": 1,
            "code": "refused",
            "detail": "no",
            **mark,
        }
    ]


def test_the_metric_tells_simulated_runs_from_real_ones() -> None:
    tally = Counter({f"{SETTLED}failed": 2, f"{SETTLED_SIMULATED}failed": 3, "claimed": 5})

    family = next(each for each in metrics(tally) if each.name == "ordinaut_runs_settled")

    assert {tuple(sample.labels.values()): sample.value for sample in family.samples} == {
        ("failed", "false"): 2,
        ("failed", "true"): 3,
    }
