"""What the operations refuse to do, and why: the errors that API, console and commands show as they are.

`code` is stable and made for programs; `detail` and `hint` are for people. `status` is the HTTP status that says the
same. Programming errors are none of these and are never caught.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong with what was given. `pointer` is a JSON pointer into it; empty is the whole."""

    pointer: str
    code: str
    detail: str
    hint: str | None = None

    @classmethod
    def of(cls, found: Mapping[str, Any], *, under: str = "") -> "Problem":
        """A problem that a port answered as a mapping, its pointer moved below `under`."""
        return cls(
            pointer=f"{under}{found['pointer']}", code=found["code"], detail=found["detail"], hint=found.get("hint")
        )

    def as_dict(self) -> dict[str, str]:
        shown = {"pointer": self.pointer, "code": self.code, "detail": self.detail}
        return {**shown, "hint": self.hint} if self.hint else shown


class SchedulingError(Exception):
    """The operation cannot be carried out."""

    code: ClassVar[str] = "refused"
    status: ClassVar[int] = 400
    retry_after: ClassVar[int | None] = None  # seconds after which the same may well succeed

    def __init__(
        self, detail: str = "", *, pointer: str = "", hint: str | None = None, problems: Sequence[Problem] = ()
    ) -> None:
        self.detail = detail or (type(self).__doc__ or "").strip().partition("\n")[0]
        self.pointer = pointer
        self.hint = hint
        self.problems = tuple(problems)
        super().__init__(self.detail)


class NotValid(SchedulingError):
    """What was given is not valid."""

    code = "not_valid"
    status = 422

    @classmethod
    def because(cls, problems: Iterable[Problem]) -> "NotValid":
        """All problems at once; the detail counts them."""
        found = tuple(problems)
        first = found[0]
        where = f" (at {first.pointer})" if first.pointer else ""
        more = f" And {len(found) - 1} more." if len(found) > 1 else ""
        return cls(f"{first.detail}{where}{more}", pointer=first.pointer, hint=first.hint, problems=found)

    def under(self, pointer: str) -> "NotValid":
        """The same, of what stands below `pointer`."""
        return NotValid.because(replace(each, pointer=f"{pointer}{each.pointer}") for each in self.problems)

    @classmethod
    def at(cls, pointer: str, code: str, detail: str, hint: str | None = None) -> "NotValid":
        return cls.because([Problem(pointer=pointer, code=code, detail=detail, hint=hint)])


class Conflict(SchedulingError):
    """It does not go with the present state."""

    code = "conflict"
    status = 409

    def __init__(self, detail: str = "", *, allowed_actions: Sequence[str] | None = None, **more: Any) -> None:
        self.allowed_actions = None if allowed_actions is None else tuple(allowed_actions)
        super().__init__(detail, **more)


class IllegalTransition(Conflict):
    """This action is not possible in the present state."""

    code = "illegal_transition"


class KeyTaken(Conflict):
    """Another object of the same agent has this key."""

    code = "key_taken"


class LimitReached(Conflict):
    """The agent has as many as it may have."""

    code = "limit_reached"


class VersionMismatch(SchedulingError):
    """It was changed since it was read."""

    code = "version_mismatch"
    status = 412


class Forbidden(SchedulingError):
    """The caller may not do this."""

    code = "forbidden"
    status = 403
