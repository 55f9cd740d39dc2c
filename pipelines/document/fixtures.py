"""From the document's `simulate` to fixtures."""

from datetime import timedelta
from typing import Any

from pipelines.document.compilation import Compilation
from pipelines.document.names import Names
from pipelines.document.nodes import Fixture, Simulation
from pipelines.document.problems import pointer_to
from pipelines.document.shape import FIXTURE, check_shape

REAL = "real"


def compile_simulation(source: Any, pointer: str, compilation: Compilation, names: Names) -> Simulation:
    """A step's simulation. Whether the step may be `real`, or simulated in every run, is for its kind to say."""
    if source == REAL:
        return Simulation(is_real=True)
    if source is True:
        return Simulation(is_always=True)
    if isinstance(source, list):
        if not source:
            compilation.refuse(pointer, "invalid_value", "a list of fixtures needs at least one")
        items = [(item, pointer_to(pointer, index)) for index, item in enumerate(source)]
    else:
        items = [(source, pointer)]
    compiled = [_fixture(item, place, compilation, names) for item, place in items]
    return Simulation(fixtures=tuple(fixture for fixture in compiled if fixture is not None))


def _fixture(source: Any, pointer: str, compilation: Compilation, names: Names) -> Fixture | None:
    problems = [problem for _, problem in check_shape(source, FIXTURE, pointer)]
    compilation.problems += problems
    if problems:
        return None
    if ("output" in source) is ("error" in source):
        compilation.refuse(
            pointer, "invalid_value", "a fixture has either an output or an error", hint="write {output: ...}"
        )
        return None
    when = compilation.condition(source["when"], pointer_to(pointer, "when"), names) if "when" in source else None
    error = compilation.value(source["error"], pointer_to(pointer, "error"), names) if "error" in source else None
    return Fixture(
        output=compilation.value(source.get("output"), pointer_to(pointer, "output"), names),
        error=error,
        delay=compilation.duration(source, "delay", pointer) or timedelta(),
        when=when,
    )
