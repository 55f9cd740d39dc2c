"""The catalog of this host: installed tools by entry point, declared ones by setting."""

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from pipelines import conf
from pipelines.tools.base import Catalog, SideEffect, ToolSpec
from pipelines.tools.json_schema import check_schema

logger = logging.getLogger(__name__)

GROUP = "ordinaut.tools"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*([.:/][A-Za-z0-9_-]+)*")
_ANYTHING: Mapping[str, Any] = {}


class ToolRefusedError(ValueError):
    """An entry point does not give a tool that can be used; the text says why."""


@dataclass(frozen=True, slots=True)
class ToolProblem:
    """A tool that was left out of the catalog, or a declaration without effect. `source` is where it is written."""

    source: str
    detail: str


class ToolCatalog(Catalog):
    """The tools of this process by name, with what was wrong with those that are missing."""

    def __init__(self, specs: Iterable[ToolSpec], problems: Sequence[ToolProblem] = ()) -> None:
        self._specs = {spec.name: spec for spec in specs}
        self.problems = tuple(problems)

    def get(self, name: str) -> ToolSpec | None:
        return self._specs.get(name)

    def names(self) -> Sequence[str]:
        return sorted(self._specs)


@lru_cache(maxsize=1)
def catalog() -> ToolCatalog:
    """The catalog of this process, read once. A tool that cannot be loaded is logged and listed in `problems`."""
    return read_catalog(entry_points(group=GROUP))


def reset() -> None:
    """Forget the catalog, so that the next call reads entry points and settings anew."""
    catalog.cache_clear()


def read_catalog(points: Iterable[EntryPoint]) -> ToolCatalog:
    """Load every entry point and add what `ORDINAUT_SIMULATED_TOOLS` declares; an installed tool wins its name."""
    specs: dict[str, ToolSpec] = {}
    problems: list[ToolProblem] = []
    # Ordered by value, so that every process keeps the same one of two tools that claim a name.
    for point in sorted(points, key=lambda point: (not point.value.startswith("pipelines."), point.value)):
        try:
            spec = load(point)
            if spec.name in specs:
                raise ToolRefusedError(f"the name {spec.name} is taken by {specs[spec.name].entry_point}")
        except Exception as error:
            logger.exception("tool %s could not be loaded", point.value)
            problems.append(ToolProblem(point.value, f"{type(error).__name__}: {error}"))
        else:
            specs[spec.name] = spec
    declared, complaints = _declared()
    problems += complaints
    for spec in declared:
        if spec.name in specs:
            problems.append(ToolProblem("ORDINAUT_SIMULATED_TOOLS", f"{spec.name} is installed; it is not simulated"))
        else:
            specs[spec.name] = spec
    return ToolCatalog(specs.values(), problems)


def load(point: EntryPoint) -> ToolSpec:
    """The tool that an entry point names, knowing where it came from. Raises whatever its import raises."""
    spec = point.load()
    if not isinstance(spec, ToolSpec):
        raise ToolRefusedError(f"{point.value} is not a tool; decorate the function with pipelines.tools.base.tool")
    _check(spec)
    return replace(spec, entry_point=point.value)


def _check(spec: ToolSpec) -> None:
    if not _NAME.fullmatch(spec.name):
        raise ToolRefusedError(f"{spec.name!r} is no tool name; write it like calendar.list_events")
    check_schema(spec.input_schema)
    check_schema(spec.output_schema)


def _declared() -> tuple[list[ToolSpec], list[ToolProblem]]:
    try:
        outputs = conf.simulated_tools()
    except conf.SettingError:
        # The check E002 stops services; commands that only need the installed tools go on.
        logger.exception("the setting is ignored")
        return [], []
    specs, problems = [], []
    for name, output in outputs.items():
        if _NAME.fullmatch(name):
            specs.append(_simulated_only(name, output))
        else:
            problems.append(ToolProblem("ORDINAUT_SIMULATED_TOOLS", f"{name!r} is no tool name"))
    return specs, problems


def _simulated_only(name: str, output: Any) -> ToolSpec:
    return ToolSpec(
        name=name,
        description="Declared in ORDINAUT_SIMULATED_TOOLS and not installed: every call is simulated.",
        input_schema=_ANYTHING,
        output_schema=_ANYTHING,
        side_effect=SideEffect.PURE,
        examples=({"input": {}, "output": output},),
    )
