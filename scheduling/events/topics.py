"""The topics on which Ordinaut itself tells something. Nobody else publishes on them: who reads them believes them."""

from typing import Final

from scheduling.runs.states import FINAL_STATES, RunState

DID_NOT_RUN: Final = "schedule.did_not_run"
OVERDUE: Final = "schedule.overdue"
ZONES_UPDATED: Final = "zones.updated"
CONDITION_MET: Final = "condition.met"


def topic_of_end(state: RunState) -> str:
    """The topic on which the end of a run is told: `run.succeeded` and the like."""
    return f"run.{state.value}"


RESERVED: Final = frozenset(
    {DID_NOT_RUN, OVERDUE, ZONES_UPDATED, CONDITION_MET, *(topic_of_end(state) for state in FINAL_STATES)}
)
