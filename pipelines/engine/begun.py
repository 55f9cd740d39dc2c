"""What of a run has begun: which steps have entries in the journal, and in which body of a container they stand."""

from collections.abc import Mapping, Sequence

from pipelines.document.nodes import LOOPS, Step, blocks_of
from pipelines.engine.scopes import Scope
from pipelines.engine.tries import Tries


class Begun:
    """`tries` are those of the walker, which grow as steps end; an empty one is made for a path that has none."""

    def __init__(self, tries: Mapping[str, Tries], run_attempt: int) -> None:
        self._tries = tries
        self._run_attempt = run_attempt
        self._paths: set[str] = set(tries)

    def __contains__(self, path: str) -> bool:
        return path in self._paths

    def add(self, path: str) -> None:
        self._paths.add(path)

    def inside(self, container: Step, scope: Scope) -> Scope:
        """Where the steps of a container stand, in the body that its next attempt carries out."""
        return scope.in_body(container, self._tries[scope.path(container)].next_body(self._run_attempt))

    def any_of(self, steps: Sequence[Step], scope: Scope) -> bool:
        """True where any of them, or any step inside of them, was tried."""
        return any(scope.path(step) in self._paths or self.any_inside(step, scope) for step in steps)

    def any_inside(self, container: Step, scope: Scope) -> bool:
        """The same for the steps of a container that stands at `scope`."""
        return self.any_within(container, self.inside(container, scope))

    def any_within(self, container: Step, inside: Scope) -> bool:
        """The same where its steps stand in `inside`."""
        if isinstance(container.body, LOOPS):
            iterations = f"{inside.path(container)}["
            return any(path.startswith(iterations) for path in self._paths)
        return any(self.any_of(block, inside) for block in blocks_of(container.body))
