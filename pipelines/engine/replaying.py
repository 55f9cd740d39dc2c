"""From which step on a run is done again: what of its journal the new run begins with. Pure."""

import re
from collections.abc import Callable, Iterable, Iterator

from pipelines.document.nodes import LOOPS, Pipeline, Step, blocks_of, walk
from pipelines.engine.paths import shown_path
from pipelines.expressions.suggestion import did_you_mean

_INDEX = re.compile(r"\[\d+\]$")
_MARKED = re.compile(r"([a-z0-9_]+)~\d+\.")


class CannotReplay(ValueError):
    """There is no such step to begin from; the text says why, `hint` what to name instead."""

    def __init__(self, detail: str, hint: str | None = None) -> None:
        super().__init__(detail)
        self.hint = hint


def kept_paths(old: Pipeline, new: Pipeline, from_step: str) -> Callable[[str], bool]:
    """Whether a path of the old run's journal stands in the new one, which begins with the step `from_step` of `new`.

    Those do that stand before it in the document, whole: a container around it is begun anew, and so is what both
    documents know by one id and mean something else by. Raises CannotReplay for a step that is not there, that is in a
    loop, or among those that run last.
    """
    order = list(walk(new.steps))
    around = _around(new.steps, from_step)
    if around is None:
        hint = did_you_mean(from_step, [step.id for step in order])
        raise CannotReplay(f"the document has no step {from_step!r} among its steps", hint)
    if loop := next((step for step in around if isinstance(step.body, LOOPS)), None):
        raise CannotReplay(f"{from_step} is a step of the loop {loop.id}", f"begin from {loop.id}")
    known = {step.id: step for step in walk(old.steps)}
    anew = {step.id for step in around} | {from_step}
    kept: set[str] = set()
    for step in order:
        if step.id == from_step:
            break
        if step.id not in anew and step.id in known and _is_alike(known[step.id], step):
            kept.add(step.id)

    def is_kept(path: str) -> bool:
        outermost = _INDEX.sub("", shown_path(path).partition(".")[0])
        return outermost in kept and kept.issuperset(_MARKED.findall(path))

    return is_kept


def _around(steps: Iterable[Step], wanted: str) -> list[Step] | None:
    """The containers around the step, outermost first; None where it is not among these."""
    for step in steps:
        if step.id == wanted:
            return []
        for block in blocks_of(step.body):
            inside = _around(block, wanted)
            if inside is not None:
                return [step, *inside]
    return None


def _is_alike(one: Step, other: Step) -> bool:
    """Whether a result of the one may stand for the other's: the same kind, tool, and steps inside."""
    return (one.kind, one.uses) == (other.kind, other.uses) and list(_ids(one)) == list(_ids(other))


def _ids(step: Step) -> Iterator[str]:
    for block in blocks_of(step.body):
        yield from (inner.id for inner in walk(block))
