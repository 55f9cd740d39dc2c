"""Why a run does not run, or what it does: in words for people, as codes and facts for programs.

`explain` looks up where the run stands (`workers.standing`); `workers.reasons` puts it into words.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from scheduling.runs.models import Run
from scheduling.runs.selectors import effective_state, with_due_work
from scheduling.runs.states import RunState
from workers.reasons import Reason, reasons_of
from workers.standing import standing_of


@dataclass(frozen=True, slots=True)
class Explanation:
    """All reasons, the most important first; never none. `simulated`: nothing of the run reached the world."""

    run_id: UUID
    state: RunState
    at: datetime
    simulated: bool
    reasons: tuple[Reason, ...]

    @property
    def summary(self) -> str:
        sentence = self.reasons[0].sentence
        return f"It is a simulated run. {sentence}" if self.simulated else sentence


def explain(run: Run, *, now: datetime | None = None) -> Explanation:
    """Explain a run that came with its task and due work (see `explainable`). `now` is the database's."""
    standing = standing_of(run, now=now)
    return Explanation(run.pk, effective_state(run), standing.now, run.simulated, tuple(reasons_of(standing)))


def explainable(run_id: UUID) -> Run:
    """The run with all that `explain` reads of it. Raises Run.DoesNotExist."""
    found: Run = with_due_work().select_related("task").get(pk=run_id)
    return found
