"""What the expressions of a step see, and where its entries stand in the journal."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pipelines.document.nodes import Step
from pipelines.engine.branches import Branch
from pipelines.engine.paths import mark


@dataclass(frozen=True, slots=True)
class Scope:
    """`names["steps"]` grows as steps end; scopes that differ in other names share it. `prefix` leads the paths, and
    `branch` says whether steps may start. `runs_last`: inside of what runs whatever happens."""

    names: Mapping[str, Any]
    prefix: str = ""
    branch: Branch = field(default_factory=Branch)
    runs_last: bool = False

    def path(self, step: Step) -> str:
        return self.prefix + step.id

    def naming(self, **values: Any) -> "Scope":
        """The same place with other names beside or instead of its own."""
        return replace(self, names={**self.names, **values})

    def in_the_end(self, error: Mapping[str, Any] | None) -> "Scope":
        """The same place in a list that runs last, which sees the error, if any."""
        return replace(self.naming(error=error), runs_last=True)

    def in_branch(self, branch: Branch) -> "Scope":
        """The same place, carried out as part of a branch."""
        return replace(self, branch=branch)

    def in_body(self, container: Step, number: int) -> "Scope":
        """Inside of that body of a container, counted from 1."""
        return replace(self, prefix=self.prefix + mark(container.id, number))

    def iteration(
        self, loop: Step, index: int, *, before: "Scope | None" = None, hidden: str | None = None, **values: Any
    ) -> "Scope":
        """A place inside of a loop, whose steps are not known outside of it. Those of the iteration `before` are, until
        its own have ended; `hidden` is a name that is not known in it, unless it is among the `values`."""
        names = {name: value for name, value in self.names.items() if name != hidden}
        steps = dict((self if before is None else before).names["steps"])
        names |= {"steps": steps, "index": index, **values}
        return replace(self, names=names, prefix=f"{self.path(loop)}[{index}].")

    def keep(self, step: Step, output: Any) -> None:
        for name in step.names:
            self.names["steps"][name] = output

    def forget(self, step: Step) -> None:
        for name in step.names:
            self.names["steps"].pop(name, None)
