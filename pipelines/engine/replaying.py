"""From which step on a run is done again: what of its journal the new run begins with. Pure."""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from pipelines.document.nodes import LOOPS, Pipeline, Step, blocks_of, walk
from pipelines.engine.paths import enter_body, shown_path
from pipelines.engine.ports import StepEntry
from pipelines.engine.tries import group_by_path
from pipelines.expressions.suggestion import did_you_mean

_INDEX = re.compile(r"\[\d+\]$")


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
    around = next((containers for step, containers in _placed(new.steps, ()) if step.id == from_step), None)
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
        if step.id not in anew and step.id in known and _is_alike(old, known[step.id], new, step):
            kept.add(step.id)
    return lambda path: _INDEX.sub("", shown_path(path).partition(".")[0]) in kept


class LastBodies:
    """Where the entries of an old run stand in one that has tried no container twice: those of the last body of each
    under the path of its first, those of bodies that were given up nowhere."""

    def __init__(self, pipeline: Pipeline, history: Iterable[StepEntry]) -> None:
        self._tries = group_by_path(history)
        self._around = {step.id: around for step, around in _placed(pipeline.steps, ())}

    def path(self, path: str) -> str | None:
        """The path of an entry in the new run, None where it has none."""
        step = _INDEX.sub("", path.rpartition(".")[2])
        rest, before = path, ""
        for container in self._around.get(step, ()):
            body, rest, prefix = enter_body(container.id, rest)
            if body != self._tries[before + container.id].last_body:
                return None
            before += prefix
            if isinstance(container.body, LOOPS):
                iteration, _, rest = rest.partition(".")
                before += f"{iteration}."
        return shown_path(path)


def _placed(steps: Iterable[Step], around: tuple[Step, ...]) -> Iterator[tuple[Step, tuple[Step, ...]]]:
    """Each step with the containers around it, outermost first."""
    for step in steps:
        yield step, around
        for block in blocks_of(step.body):
            yield from _placed(block, (*around, step))


def _is_alike(old: Pipeline, one: Step, new: Pipeline, other: Step) -> bool:
    """Whether a result of the one may stand for the other's: the same kind and tool, and the same steps inside, of
    which that holds, too, because a container that is kept is not entered. Steps that are known by their number are
    another's as soon as one is put in before them: nothing of them may differ."""
    source, newer = _source(old, one), _source(new, other)
    if "id" not in source or "id" not in newer:
        return bool(source == newer)
    inside, inside_newer = _inside(one), _inside(other)
    return (
        (one.kind, one.uses) == (other.kind, other.uses)
        and [step.id for step in inside] == [step.id for step in inside_newer]
        and all(_is_alike(old, was, new, now) for was, now in zip(inside, inside_newer, strict=True))
    )


def _source(pipeline: Pipeline, step: Step) -> Any:
    """The step as it is written in the document."""
    found: Any = pipeline.source
    for token in step.pointer.split("/")[1:]:
        name = token.replace("~1", "/").replace("~0", "~")
        found = found[int(name)] if isinstance(found, list) else found[name]
    return found


def _inside(step: Step) -> list[Step]:
    """The steps right inside of it, in the order of the document."""
    return [inner for block in blocks_of(step.body) for inner in block]
