"""How long the paths of steps may become in the journal: the ids of the loops around a step, with their indices, and
marks of bodies that are begun anew (`pipelines.engine.paths`)."""

from collections.abc import Iterable, Iterator

from pipelines.document.limits import MAX_PATH
from pipelines.document.nodes import LOOPS, Step, blocks_of
from pipelines.document.problems import Problem, pointer_to

_INDEX = len("[100000].")
_MARK = len("~100.")


def path_problems(steps: Iterable[Step], room: int = MAX_PATH) -> Iterator[Problem]:
    """The outermost steps whose paths may not fit, of these and of all inside of them; `room` is what is left."""
    for step in steps:
        if len(step.id) > room:
            yield Problem(
                pointer=pointer_to(step.pointer, "id"),
                code="path_too_long",
                detail=f"with the ids of the loops around it a step's path has at most {MAX_PATH} characters",
                hint="give the loops around it shorter ids",
            )
            continue
        inside = room
        if step.retry.max_attempts > 1:
            inside -= len(step.id) + _MARK
        if isinstance(step.body, LOOPS):
            inside -= len(step.id) + _INDEX
        for block in blocks_of(step.body):
            yield from path_problems(block, inside)
