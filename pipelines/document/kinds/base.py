"""What a kind of step is to the compiler: a keyword, the fields it brings, and how they become a body."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.document.compilation import Compilation
from pipelines.document.names import Names
from pipelines.document.nodes import Body
from pipelines.document.problems import pointer_to
from pipelines.expressions import CompiledValue


@dataclass(frozen=True, slots=True)
class WrittenStep:
    """A step as written. `usable` are the fields whose shape is right; only those are compiled further."""

    source: Mapping[str, Any]
    pointer: str
    usable: frozenset[str]
    names: Names
    compilation: Compilation

    def has(self, name: str) -> bool:
        return name in self.usable

    def value(self, name: str, *keys: str) -> CompiledValue:
        """The field, or what is under `keys` in it, as a value whose strings may be templates."""
        source = self.source[name]
        for key in keys:
            source = source[key]
        return self.compilation.value(source, self.place(name, *keys), self.names)

    def place(self, *keys: str) -> str:
        return pointer_to(self.pointer, *keys)

    def refuse(self, name: str, code: str, detail: str, *, hint: str | None = None) -> None:
        self.compilation.refuse(self.place(name), code, detail, hint=hint)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepKind:
    """`name` is what journals show, `keyword` the field that tells the kind, `fields` all the fields it brings.

    `compile` gives None where the body is wrong, with at least one problem refused.
    """

    name: str
    keyword: str
    fields: Mapping[str, Any]
    compile: Callable[[WrittenStep], Body | None]
    required: Sequence[str] = ()
