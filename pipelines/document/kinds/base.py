"""What a kind of step is to the compiler: a keyword, the fields it brings, and how they become a body."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pipelines.document.compilation import Compilation
from pipelines.document.names import Names
from pipelines.document.nodes import Body, Step
from pipelines.document.problems import pointer_to
from pipelines.expressions import CompiledValue

Keys = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Block:
    """Compiled steps, and the names that are known after them."""

    steps: tuple[Step, ...]
    names: Names


class BlockCompiler(Protocol):
    def __call__(self, sources: Sequence[Any], pointer: str, compilation: Compilation, names: Names) -> Block: ...


@dataclass(frozen=True, slots=True)
class WrittenStep:
    """A step as written. `usable` are the fields whose shape is right; only those are compiled further."""

    source: Mapping[str, Any]
    pointer: str
    usable: frozenset[str]
    names: Names
    compilation: Compilation
    compile_block: BlockCompiler

    def has(self, name: str) -> bool:
        return name in self.usable

    def value(self, name: str, *keys: str, names: Names | None = None) -> CompiledValue:
        """The field, or what is under `keys` in it, as a value whose strings may be templates, which see `names`, those
        of this step unless given."""
        source = self.source[name]
        for key in keys:
            source = source[key]
        return self.compilation.value(source, self.place(name, *keys), names or self.names)

    def block(self, *keys: str | int, names: Names | None = None) -> Block:
        """The steps under `keys`, which see `names`, those of this step unless given. An empty list is refused."""
        source: Any = self.source
        for key in keys:
            source = source[key]
        if not source:
            self.compilation.refuse(self.place(*keys), "empty", "a list of steps has at least one")
        return self.compile_block(source, self.place(*keys), self.compilation, names or self.names)

    @property
    def id(self) -> str:
        return self.compilation.layout.identity_at(self.pointer).id

    def place(self, *keys: str | int) -> str:
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
    blocks: Callable[[Mapping[str, Any]], Iterator[Keys]] = lambda _: iter(())  # where its lists of steps may stand
    is_loop: bool = False  # its steps are known inside of an iteration only
    has_own_timeout: bool = False  # `timeout` bounds an attempt, and this kind waits by its own rules
