"""The simulation of a stored task, for the API and the console."""

from collections.abc import Mapping
from typing import Any

from pipelines.simulation.child import simulate_in_child
from scheduling.definitions.json_values import problems_of
from scheduling.errors import NotValid
from scheduling.tasks.models import Task


def simulate_task(task: Task, *, params: Mapping[str, Any], **given: Any) -> dict[str, Any]:
    """The answer for the task's current revision with `params` laid over the task's; see `simulate_in_child`.

    Raises what that does, and NotValid for params that no run could have.
    """
    if not isinstance(params, Mapping):
        raise NotValid.at("/params", "not_an_object", "Params are an object.")
    if unusable := problems_of({"params": dict(params)}):
        raise NotValid.because(unusable)
    assert task.current_revision is not None
    return simulate_in_child(task.current_revision.document, params={**task.params, **params}, **given)
