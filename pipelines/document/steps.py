"""From a step as written to a compiled step."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from pipelines.document.compilation import Compilation
from pipelines.document.fixtures import compile_simulation
from pipelines.document.kinds import KINDS, Block, Keys, StepKind, WrittenStep
from pipelines.document.layout import StepIdentity
from pipelines.document.names import Names
from pipelines.document.nodes import NO_RETRY, Body, RetryPolicy, Simulation, Step, ToolBody
from pipelines.document.problems import pointer_to
from pipelines.document.retries import compile_retry
from pipelines.document.shape import RETRY, STEP_FIELDS, check_shape, object_of
from pipelines.expressions.suggestion import nearest

_SCHEMAS = {keyword: object_of({**STEP_FIELDS, **kind.fields}, kind.required) for keyword, kind in KINDS.items()}

_OTHER_FIELDS = {keyword: kind.fields.keys() - {keyword} for keyword, kind in KINDS.items()}


def compile_block(sources: Sequence[Any], pointer: str, compilation: Compilation, names: Names) -> Block:
    """The steps of the list at `pointer` that are right; `names` are known before the first."""
    steps: list[Step] = []
    for index, source in enumerate(sources):
        place = pointer_to(pointer, index)
        identity = compilation.layout.identity_at(place)
        step = compile_step(source, place, identity, compilation, names)
        names = names.with_steps(identity.names)
        if step is not None:
            steps.append(step)
            if step.is_container:
                names = names.with_steps(compilation.layout.names_inside(place))
    return Block(tuple(steps), names)


def blocks_inside(source: Any) -> Iterator[Keys]:
    """Where the lists of steps of a step may stand, of whatever kinds it has the keywords."""
    if isinstance(source, Mapping):
        for keyword, kind in KINDS.items():
            if keyword in source:
                yield from kind.blocks(source)


def is_loop(source: Any) -> bool:
    """Whether a step has the keyword of a kind whose steps are known in their own iteration only."""
    return isinstance(source, Mapping) and any(keyword in source for keyword, kind in KINDS.items() if kind.is_loop)


def compile_step(
    source: Any, pointer: str, identity: StepIdentity, compilation: Compilation, names: Names
) -> Step | None:
    """None where the step is wrong; the compilation then has at least one problem."""
    if not isinstance(source, Mapping):
        compilation.refuse(pointer, "wrong_type", "a step is an object", hint="write {uses: tool.name, with: {...}}")
        return None
    kind = _kind(source, pointer, compilation)
    if kind is None:
        return None
    usable = _usable_fields(source, pointer, kind, compilation)
    written = WrittenStep(source, pointer, usable, names, compilation, compile_block)
    condition = compilation.condition(source["if"], written.place("if"), names) if "if" in usable else None
    simulation = _simulation(written)
    timeout = _timeout(written)
    if kind.has_own_timeout and "timeout" in source:
        written.refuse("timeout", "not_here", f"timeout bounds an attempt, and the kind {kind.name} ends by itself")
    body = kind.compile(written)
    if body is None:
        return None
    return Step(
        id=identity.id,
        names=identity.names,
        pointer=pointer,
        kind=kind.name,
        body=body,
        condition=condition,
        timeout=timeout,
        retry=_retry(written, body),
        continue_on_error="continue_on_error" in usable and source["continue_on_error"],
        simulation=simulation,
    )


def _kind(source: Mapping[str, Any], pointer: str, compilation: Compilation) -> StepKind | None:
    there = [keyword for keyword in KINDS if keyword in source]
    # `wait` is a kind, and a field of `run`.
    found = [keyword for keyword in there if not any(keyword in _OTHER_FIELDS[other] for other in there)]
    if not found:
        similar = next((f"did you mean {match!r}?" for key in source if (match := nearest(str(key), KINDS))), None)
        compilation.refuse(
            pointer,
            "missing_kind",
            "the step does not say what to do",
            hint=similar or f"add one of {', '.join(KINDS)}",
        )
    elif len(found) > 1:
        compilation.refuse(pointer, "several_kinds", f"a step does one thing; this has {' and '.join(found)}")
    else:
        return KINDS[found[0]]
    return None


def _usable_fields(source: Mapping[str, Any], pointer: str, kind: StepKind, compilation: Compilation) -> frozenset[str]:
    wrong: set[Any] = set()
    for breach, problem in check_shape(source, _SCHEMAS[kind.keyword], pointer):
        compilation.problems.append(problem)
        wrong.update(breach.path[:1])
    return frozenset(source) - wrong


def _simulation(step: WrittenStep) -> Simulation:
    if not step.has("simulate"):
        return Simulation()
    simulation = compile_simulation(step.source["simulate"], step.place("simulate"), step.compilation, step.names)
    if simulation.is_always and "uses" not in step.source:
        hint = "write a fixture, which stands for it in simulated runs"
        step.refuse("simulate", "not_here", "only the call of a tool is simulated in every run", hint=hint)
    return simulation


def _timeout(step: WrittenStep) -> timedelta | None:
    if not step.has("timeout"):
        return None
    timeout = step.compilation.duration(step.source, "timeout", step.pointer)
    if timeout == timedelta():
        step.refuse("timeout", "bad_duration", "a time-out must be longer than nothing")
    return timeout


def _retry(step: WrittenStep, body: Body) -> RetryPolicy:
    """The step's own policy, else its tool's."""
    if step.has("retry"):
        return compile_retry(step.source["retry"], step.place("retry"), step.compilation)
    if "retry" in step.source or not isinstance(body, ToolBody) or body.spec.retry is None:
        return NO_RETRY
    problems = [problem for _, problem in check_shape(dict(body.spec.retry), RETRY, step.place("uses"))]
    if problems:
        step.refuse("uses", "bad_tool", f"the tool {body.spec.name} declares a retry policy that is none")
        return NO_RETRY
    return compile_retry(body.spec.retry, step.place("uses"), step.compilation)
