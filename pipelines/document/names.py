"""Which names an expression may use at its place in the document, and what to say about the others."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace

from pipelines.document.problems import Problem, Severity
from pipelines.expressions import WHOLE, Reference
from pipelines.expressions.suggestion import did_you_mean, nearest
from pipelines.tools.base import ToolSpec

RESERVED = frozenset({"params", "steps", "run", "task", "event", "now", "secrets", "outputs", "item", "index"})
EVERYWHERE = frozenset({"params", "steps", "run", "task", "event", "now"})
_MEMBERS: Mapping[str, frozenset[str]] = {
    "run": frozenset({"id", "attempt", "scheduled_for", "started_at", "trigger", "simulated"}),
    "task": frozenset({"id", "title", "labels"}),
}
_ELSEWHERE = {
    "item": "item is known inside a loop only",
    "index": "index is known inside a loop only",
    "error": "error is known in on_error, finally, outputs and assert only",
    "outputs": "outputs is known in assert only",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """`steps` are the results defined before this place, `all_steps` those of the whole document.

    `params` are the parameters that the document speaks of, None where it leaves them open.
    """

    roots: frozenset[str]
    steps: frozenset[str]
    all_steps: frozenset[str]
    params: frozenset[str] | None
    secrets: Mapping[str, Collection[str]] | None  # the tools that may have each; None where it is not known here
    uses: ToolSpec | None = None  # the tool whose input this place is
    is_document: bool = True  # of an expression outside of one, such as a filter, no other place is told
    may_end: bool = True  # `fail` and `succeed` may stand here
    loops: Mapping[str, str] = field(default_factory=dict)  # of steps in loops, by name, the innermost loop's id
    around: frozenset[str] = frozenset()  # the ids of the loops around this place

    def inside_last(self) -> "Names":
        """The names of a list of steps that runs last, where nothing can end the run any more."""
        return replace(self.with_roots("error"), may_end=False)

    def inside_loop(self, loop: str, *, known: Collection[str], hidden: str | None = None) -> "Names":
        """The names of a loop's steps: `known` beside those around it, without `hidden` unless it is among them."""
        return replace(self, roots=self.roots - {hidden or ""} | set(known), around=self.around | {loop})

    def of_input(self, uses: ToolSpec) -> "Names":
        """The names of what is given to a tool: the only place where secrets may stand."""
        return replace(self, uses=uses)

    def with_roots(self, *roots: str) -> "Names":
        return replace(self, roots=self.roots | set(roots))

    def with_steps(self, steps: Collection[str]) -> "Names":
        return replace(self, steps=self.steps | set(steps))

    def problems(self, reference: Reference, pointer: str) -> Iterator[Problem]:
        """What is wrong with a reference that stands at `pointer`."""
        if reference.root == WHOLE:
            return
        if reference.root == "secrets" and self.is_document:
            yield from self._secret_problems(reference.member, pointer)
        elif reference.root not in self.roots:
            elsewhere = _ELSEWHERE.get(reference.root) if self.is_document else None
            hint = elsewhere or self._hint(reference.root)
            yield _problem(pointer, "unknown_name", f"the name {reference.root!r} is not known here", hint)
        elif reference.is_negated:
            yield Problem(
                pointer=pointer,
                code="negation_first",
                detail=f"!{reference.root}.… is (!{reference.root}).…, which is null: ! binds tighter than the dot",
                hint=f"write !({reference.root}.…)",
                severity=Severity.WARNING,
            )
        elif reference.member is not None:
            yield from self._member_problems(reference.root, reference.member, pointer)

    def _secret_problems(self, secret: str | None, pointer: str) -> Iterator[Problem]:
        if self.uses is None:
            hint = "name the secret in the `with` of the tool that needs it"
            yield _problem(pointer, "secret_not_here", "secrets are known in the input of a tool only", hint)
        elif secret is None:
            yield _problem(pointer, "secret_not_named", "secrets are used one by one", "write secrets.<name>")
        elif not self.uses.takes_secret(secret):
            hint = "what it is given is shown or stored; http.request and tools of MCP servers take secrets"
            yield _problem(pointer, "secret_not_for_tool", f"{self.uses.name} takes no secret {secret!r}", hint)
        elif self.secrets is not None and secret not in self.secrets:
            hint = (
                did_you_mean(secret, self.secrets) or "secrets are set in the console or by PUT /api/v1/secrets/{name}"
            )
            yield _problem(pointer, "unknown_secret", f"there is no secret {secret!r}", hint)
        elif self.secrets is not None and self.uses.name not in self.secrets[secret]:
            hint = f"it is for {', '.join(sorted(self.secrets[secret]))}"
            detail = f"the secret {secret!r} is not for {self.uses.name}"
            yield _problem(pointer, "secret_not_for_tool", detail, hint)

    def _member_problems(self, root: str, member: str, pointer: str) -> Iterator[Problem]:
        if root == "steps":
            yield from self._step_problems(member, pointer)
        elif root == "params" and self.params is not None and member not in self.params:
            yield Problem(
                pointer=pointer,
                code="unknown_param",
                detail=f"the document does not speak of a parameter {member!r}; it is null unless a run brings it",
                hint=did_you_mean(member, self.params),
                severity=Severity.WARNING,
            )
        elif root in _MEMBERS and member not in _MEMBERS[root]:
            hint = did_you_mean(member, _MEMBERS[root]) or f"{root} has {', '.join(sorted(_MEMBERS[root]))}"
            yield _problem(pointer, "unknown_name", f"{root} has no {member!r}", hint)

    def _step_problems(self, step: str, pointer: str) -> Iterator[Problem]:
        if step in self.steps:
            return
        loop = self.loops.get(step)
        if loop is not None and loop not in self.around:
            hint = f"let {loop} collect it, and read steps.{loop}"
            yield _problem(pointer, "inside_loop", f"steps.{step} is known inside of the loop {loop} only", hint)
        elif step in self.all_steps:
            detail = f"steps.{step} is used before it is defined"
            yield _problem(pointer, "used_before_defined", detail, "steps run in the order they are written")
        else:
            near = nearest(step, self.steps)
            hint = f"did you mean steps.{near}?" if near else self._steps_hint()
            yield _problem(pointer, "unknown_step", f"no step is called {step!r}", hint)

    def _steps_hint(self) -> str:
        known = ", ".join(sorted(self.steps)[:10])
        return f"defined before this place: {known}" if known else "no step is defined before this place"

    def _hint(self, root: str) -> str | None:
        if root in self.all_steps:
            return f"did you mean steps.{root}?"
        if self.params and root in self.params:
            return f"did you mean params.{root}?"
        return did_you_mean(root, self.roots) or f"known here: {', '.join(sorted(self.roots))}"


def _problem(pointer: str, code: str, detail: str, hint: str | None) -> Problem:
    return Problem(pointer=pointer, code=code, detail=detail, hint=hint)
