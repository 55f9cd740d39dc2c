"""What the expressions of a step see, and where its entries stand in the journal."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.document.nodes import Step


@dataclass(frozen=True, slots=True)
class Scope:
    """`names["steps"]` grows as steps end; scopes that differ in other names share it. `prefix` leads the paths."""

    names: Mapping[str, Any]
    prefix: str = ""

    def path(self, step: Step) -> str:
        return self.prefix + step.id

    def naming(self, **values: Any) -> "Scope":
        """The same place with other names beside or instead of its own."""
        return Scope({**self.names, **values}, self.prefix)

    def keep(self, step: Step, output: Any) -> None:
        for name in step.names:
            self.names["steps"][name] = output
