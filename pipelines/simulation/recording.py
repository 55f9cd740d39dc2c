"""A run that has been, as fixtures: the document with what each of its steps has answered. Pure."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pipelines.document import compile_document
from pipelines.document.nodes import ApprovalBody, EventBody, Pipeline, RunBody, Step, ToolBody, walk
from pipelines.engine.paths import shown_path
from pipelines.engine.ports import StepEntry, StepState
from pipelines.errors import ErrorClass
from pipelines.expressions.durations import format_duration
from pipelines.tools.base import Catalog

# What the world has answered; every other kind is computed from that.
_OF_THE_WORLD = (ToolBody, ApprovalBody, EventBody, RunBody)
_INDEX = re.compile(r"\[(\d+)\]")
_SHORTEST = timedelta(seconds=1)
# Classes that a fixture cannot have.
_OF_THE_ENGINE = {ErrorClass.CANCELED: ErrorClass.PERMANENT, ErrorClass.INTERNAL: ErrorClass.PERMANENT}


@dataclass(frozen=True, slots=True)
class Recording:
    """`document` is ready to be simulated, or saved; `notes` say what of the run it cannot tell."""

    document: Mapping[str, Any]
    notes: Sequence[str]


def record_fixtures(document: object, entries: Iterable[StepEntry], *, catalog: Catalog) -> Recording:
    """The document in its normal form, each step that has called something with a `simulate` of what came of it.

    Of a loop each iteration has its own, by `index`. A step that has not run keeps what it had, and so does one that
    runs for real in simulations. Raises DocumentInvalid where the document is none.
    """
    pipeline = compile_document(document, catalog=catalog)
    recorded = deepcopy(dict(pipeline.source))
    by_step: dict[str, list[StepEntry]] = defaultdict(list)
    for entry in entries:
        if entry.state in (StepState.SUCCEEDED, StepState.FAILED):
            by_step[shown_path(entry.path).rpartition(".")[2]].append(entry)
    notes: list[str] = []
    for step in _steps_of(pipeline):
        if step.id in by_step and isinstance(step.body, _OF_THE_WORLD) and not step.simulation.is_real:
            fixtures, is_whole = _fixtures(by_step[step.id])
            if not is_whole:
                notes.append(f"{step.id} has run in loops inside of loops: the first round of each index is kept")
            _at(recorded, step.pointer)["simulate"] = fixtures[0] if len(fixtures) == 1 else fixtures
    return Recording(recorded, notes)


def _steps_of(pipeline: Pipeline) -> Iterator[Step]:
    for steps in (pipeline.steps, pipeline.on_error, pipeline.last):
        yield from walk(steps)


def _at(document: Any, pointer: str) -> Any:
    place = document
    for key in pointer.split("/")[1:]:
        name = key.replace("~1", "/").replace("~0", "~")
        place = place[int(name) if isinstance(place, list) else name]
    return place


def _fixtures(entries: Sequence[StepEntry]) -> tuple[list[dict[str, Any]], bool]:
    """One for each attempt, of a loop one for each iteration and attempt; False where loops in loops have more."""
    is_whole = True
    kept: dict[tuple[str, int], dict[str, Any]] = {}
    paths: dict[str, str] = {}
    for entry in sorted(entries, key=lambda each: (shown_path(each.path), each.attempt)):
        path = shown_path(entry.path)
        indices = _INDEX.findall(path)
        index = indices[-1] if indices else ""
        if paths.setdefault(index, path) != path:
            is_whole = False
            continue
        kept[index, entry.attempt] = _fixture(entry)
    if len({index for index, _ in kept}) <= 1 or _are_alike(kept):
        first = next(iter(kept))[0]
        return [fixture for (index, _), fixture in kept.items() if index == first], is_whole
    return [{"when": f"index == {index}", **fixture} for (index, _), fixture in kept.items()], is_whole


def _are_alike(kept: Mapping[tuple[str, int], Mapping[str, Any]]) -> bool:
    """Whether all iterations have answered the same, at the first attempt."""
    first = next(iter(kept.values()))
    return all(attempt == 1 and fixture == first for (_, attempt), fixture in kept.items())


def _fixture(entry: StepEntry) -> dict[str, Any]:
    fixture: dict[str, Any]
    if entry.state is StepState.FAILED:
        error = entry.error or {}
        error_class = ErrorClass(error.get("class", ErrorClass.PERMANENT))
        fixture = {
            "error": {
                "code": error.get("code", "unknown"),
                "class": str(_OF_THE_ENGINE.get(error_class, error_class)),
                "detail": _literal(error.get("detail", "")),
            }
        }
    else:
        fixture = {"output": _literal(entry.output)}
    took = _took(entry)
    return fixture if took < _SHORTEST else {**fixture, "delay": format_duration(took)}


def _took(entry: StepEntry) -> timedelta:
    if entry.started_at is None or entry.finished_at is None:
        return timedelta()
    return timedelta(seconds=round((entry.finished_at - entry.started_at).total_seconds(), 1))


def _literal(value: Any) -> Any:
    """The value as a template that gives it."""
    if isinstance(value, str):
        return value.replace("${", "$${")
    if isinstance(value, Mapping):
        return {key: _literal(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_literal(inner) for inner in value]
    return value
