"""Questions to the outside, as a run sees them: what was answered by the time at which it was taken up."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

# The kinds of steps whose `started` entries may be questions; of a tool, where its call is in doubt.
ASKING_KINDS = frozenset({"approval", "wait_for_event", "run", "tool"})

_SOON = timedelta(seconds=1)

Place = tuple[str, int]  # the path of a step, and the attempt that has asked


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """The answers that there were `as_of` an instant after which no other was taken for a question whose time is over
    by then. `withdrawn` are questions that nobody can answer any more, because the run had ended in the meantime.

    `as_of` None: nobody has looked.
    """

    given: Mapping[Place, Mapping[str, Any]] = field(default_factory=dict)
    withdrawn: frozenset[Place] = frozenset()
    as_of: datetime | None = None

    def to(self, path: str, attempt: int) -> Mapping[str, Any] | None:
        return self.given.get((path, attempt))

    def is_withdrawn(self, path: str, attempt: int) -> bool:
        return (path, attempt) in self.withdrawn

    def are_final(self, until: datetime) -> bool:
        """True where a question whose time is over at `until` and that has no answer gets none any more."""
        return self.as_of is not None and self.as_of >= until


def until_answered(until: datetime, now: datetime) -> datetime:
    """When to look for an answer that somebody owes, which is there at `until` at the latest, or soon after."""
    return max(until, now + _SOON)


NO_ANSWERS = Answers()
