"""Where the steps of a document stand and what they are called, found before any of them is compiled."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.document.problems import pointer_to


@dataclass(frozen=True, slots=True, kw_only=True)
class StepIdentity:
    """What a step is called: its own id or `step_<n>`, and the names its result is read by."""

    id: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PlacedStep:
    """A step as it stands in the document: before its children, in the order in which it is written. `loops` are the
    pointers of the loops around it, innermost last."""

    pointer: str
    identity: StepIdentity
    loops: tuple[str, ...] = ()


class Layout:
    """All steps of a document, by their pointers."""

    def __init__(self, steps: Sequence[PlacedStep] = ()) -> None:
        self.steps = steps
        self._identities = {step.pointer: step.identity for step in steps}

    def identity_at(self, pointer: str) -> StepIdentity:
        return self._identities[pointer]

    def names_inside(self, pointer: str) -> frozenset[str]:
        """The names of every step inside of what stands there, but for those that are known in a loop only, be it the
        step there itself or one inside of it."""
        inside = f"{pointer}/"
        return frozenset(
            name
            for step in self.steps
            if step.pointer.startswith(inside) and not any(f"{loop}/".startswith(inside) for loop in step.loops)
            for name in step.identity.names
        )

    @property
    def loops(self) -> dict[str, str]:
        """The id of the innermost loop around each step that is in one, by the step's names."""
        return {
            name: self._identities[step.loops[-1]].id
            for step in self.steps
            if step.loops
            for name in step.identity.names
        }

    @property
    def all_names(self) -> frozenset[str]:
        return frozenset(name for step in self.steps for name in step.identity.names)


def identity_of(source: Any, position: int) -> StepIdentity:
    """`position` counts the steps of the document from 1."""
    written = source if isinstance(source, Mapping) else {}
    step_id = written.get("id")
    if not isinstance(step_id, str):
        step_id = f"step_{position}"
    alias = written.get("save_as")
    if not isinstance(alias, str) or alias == step_id:
        return StepIdentity(id=step_id, names=(step_id,))
    return StepIdentity(id=step_id, names=(step_id, alias))


def list_at(source: Any, keys: Sequence[str | int]) -> list[Any]:
    """The list under `keys`; an empty one where there is none."""
    for key in keys:
        if isinstance(source, Mapping):
            source = source.get(key)
        elif isinstance(source, list) and isinstance(key, int):
            source = source[key]
        else:
            return []
    return source if isinstance(source, list) else []


def placed(
    sources: Sequence[Any], pointer: str, blocks_of: Any, is_loop: Any, loops: tuple[str, ...] = ()
) -> Iterator[tuple[str, Any, tuple[str, ...]]]:
    """Each step of a list and all inside of it, with its pointer and the loops around it. `blocks_of` gives the keys of
    a step's lists, `is_loop` whether they are those of a loop."""
    for index, source in enumerate(sources):
        place = pointer_to(pointer, index)
        yield place, source, loops
        inside = (*loops, place) if is_loop(source) else loops
        for keys in blocks_of(source):
            yield from placed(list_at(source, keys), pointer_to(place, *keys), blocks_of, is_loop, inside)
