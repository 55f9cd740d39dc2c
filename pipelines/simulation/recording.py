"""A run that has been, as fixtures: the document with what each of its steps has answered. Pure."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import orjson

from pipelines.document import compile_document, limits, validate
from pipelines.document.nodes import ApprovalBody, EventBody, Pipeline, RunBody, Step, ToolBody, walk
from pipelines.document.problems import Severity
from pipelines.engine.paths import marks, shown_path
from pipelines.engine.ports import StepEntry, StepState
from pipelines.errors import ErrorClass
from pipelines.expressions.durations import format_duration
from pipelines.tools.base import Catalog

# What the world has answered; every other kind is computed from that.
_OF_THE_WORLD = (ToolBody, ApprovalBody, EventBody, RunBody)
_ANSWERED = (StepState.SUCCEEDED, StepState.FAILED)
_INDEX = re.compile(r"\[(\d+)\]")
_SHORTEST = timedelta(seconds=1)
# Classes that a fixture cannot have.
_OF_THE_ENGINE = {ErrorClass.CANCELED: ErrorClass.PERMANENT, ErrorClass.INTERNAL: ErrorClass.PERMANENT}
_UNANSWERED = {"code": "unanswered", "class": str(ErrorClass.PERMANENT), "detail": "it was stopped before its answer"}


@dataclass(frozen=True, slots=True)
class Recording:
    """`document` is ready to be simulated, or saved, unless `notes` say otherwise: they tell what of the run it cannot
    tell."""

    document: Mapping[str, Any]
    notes: Sequence[str]


@dataclass(frozen=True, slots=True)
class _RunFacts:
    """The last instant that the journal knows, and how many bodies each step may have by its own policy."""

    latest: datetime | None
    bodies: Mapping[str, int]


@dataclass(slots=True)
class _Answers:
    """The fixtures of one step, and what of its answers they leave out."""

    fixtures: list[dict[str, Any]] = field(default_factory=list)
    has_more_rounds: bool = False
    has_earlier: bool = False
    is_unanswered: bool = False

    def notes(self, step_id: str) -> Iterator[str]:
        if self.has_more_rounds:
            yield f"{step_id} has run in loops inside of loops: the first round of each index is kept"
        if self.has_earlier:
            yield f"{step_id} was begun anew with the whole run: its answers before that are left out"
        if self.is_unanswered:
            yield f"{step_id} was stopped before its answer: it fails as `unanswered` where it is not stopped again"


def record_fixtures(
    document: object, entries: Iterable[StepEntry], *, catalog: Catalog, params: Mapping[str, Any] | None = None
) -> Recording:
    """The document in its normal form, each step that has called something with a `simulate` of what came of it, and
    the run's `params` as its defaults.

    Of a loop each iteration has its own, by `index`. Of a step that ran in several attempts of the run the last one
    counts. One that was stopped before its answer takes longer than it took, and fails. A step that has computed its
    result, or carried out what is inside of it, does so again: it has no fixture any more. A step that has not run
    keeps what it had, and so does one that runs for real in simulations. Raises DocumentInvalid where the document is
    none.
    """
    pipeline = compile_document(document, catalog=catalog)
    recorded = deepcopy(dict(pipeline.source))
    by_step = _by_step(entries)
    run = _facts(pipeline, by_step)
    notes: list[str] = []
    for step in _steps_of(pipeline):
        if step.id not in by_step or step.simulation.is_real:
            continue
        if isinstance(step.body, _OF_THE_WORLD):
            answers = _answers(step, by_step[step.id], run)
            notes += answers.notes(step.id)
            fixtures = answers.fixtures
            _at(recorded, step.pointer)["simulate"] = fixtures[0] if len(fixtures) == 1 else fixtures
        elif not any(entry.simulated for entry in by_step[step.id]):
            _at(recorded, step.pointer).pop("simulate", None)
    if params:
        recorded["params"] = pipeline.merge_params(params)
    return Recording(recorded, [*notes, *_unusable(recorded, pipeline, catalog)])


def _by_step(entries: Iterable[StepEntry]) -> dict[str, list[StepEntry]]:
    """The entries of each step by its id, of each attempt the last one: a result replaces the intent."""
    attempts = {(entry.path, entry.attempt): entry for entry in entries if entry.state is not StepState.SKIPPED}
    by_step: dict[str, list[StepEntry]] = defaultdict(list)
    for entry in attempts.values():
        by_step[shown_path(entry.path).rpartition(".")[2]].append(entry)
    return by_step


def _facts(pipeline: Pipeline, by_step: Mapping[str, Iterable[StepEntry]]) -> _RunFacts:
    entries = (entry for entries in by_step.values() for entry in entries)
    instants = (at for entry in entries for at in (entry.started_at, entry.finished_at) if at is not None)
    bodies = {step.id: step.retry.max_attempts for step in _steps_of(pipeline)}
    return _RunFacts(max(instants, default=None), bodies)


def _steps_of(pipeline: Pipeline) -> Iterator[Step]:
    for steps in (pipeline.steps, pipeline.on_error, pipeline.last):
        yield from walk(steps)


def _at(document: Any, pointer: str) -> Any:
    place = document
    for key in pointer.split("/")[1:]:
        name = key.replace("~1", "/").replace("~0", "~")
        place = place[int(name) if isinstance(place, list) else name]
    return place


def _answers(step: Step, entries: Iterable[StepEntry], run: _RunFacts) -> _Answers:
    """One fixture for each attempt that counts, of a loop one for each iteration and attempt."""
    found = _Answers()
    kept: dict[str, list[dict[str, Any]]] = {}
    for path, tries in sorted(_by_place(entries).items()):
        indices = _INDEX.findall(path)
        index = indices[-1] if indices else ""
        if index in kept:
            found.has_more_rounds = True
            continue
        counting = _counting(step, tries, run)
        found.has_earlier |= len(counting) < len(tries)
        found.is_unanswered |= counting[-1].state not in _ANSWERED
        kept[index] = [_fixture(step, entry, run) for entry in counting]
    if len(kept) == 1 or _are_alike(list(kept.values())):
        found.fixtures = next(iter(kept.values()))
    else:
        found.fixtures = [
            {"when": f"index == {index}", **each} for index, fixtures in kept.items() for each in fixtures
        ]
    return found


def _by_place(entries: Iterable[StepEntry]) -> dict[str, list[StepEntry]]:
    """The attempts at each place, in order, without those that a drain or a death cut off and another followed."""
    found: dict[str, list[StepEntry]] = defaultdict(list)
    for entry in sorted(entries, key=lambda each: each.attempt):
        tries = found[shown_path(entry.path)]
        if tries and tries[-1].state in (StepState.STARTED, StepState.INTERRUPTED):
            tries.pop()
        tries.append(entry)
    return found


def _counting(step: Step, tries: Sequence[StepEntry], run: _RunFacts) -> list[StepEntry]:
    """The last attempts, as far back as policies of steps led from one to the next.

    What stands before them was followed by another attempt of the run, or by a redrive, which a simulation has not.
    """
    counting = [tries[-1]]
    for entry in reversed(tries[:-1]):
        later = counting[-1]
        if entry.run_attempt != later.run_attempt:
            break
        if entry.path == later.path:
            count = sum(each.path == entry.path for each in counting)
            if count >= step.retry.max_attempts or not _is_tried_again(step, entry):
                break
        elif any(body > run.bodies[container] for container, body in marks(later.path)):
            break
        counting.append(entry)
    return counting[::-1]


def _is_tried_again(step: Step, entry: StepEntry) -> bool:
    """Whether the step's own policy tries again after this attempt."""
    error = entry.error or {}
    return entry.state is StepState.FAILED and step.retry.covers(
        error_class=error.get("class", ErrorClass.PERMANENT), code=error.get("code", "")
    )


def _are_alike(kept: Sequence[Sequence[Mapping[str, Any]]]) -> bool:
    """Whether all iterations have answered the same, at the first attempt."""
    return all(len(fixtures) == 1 and fixtures == kept[0] for fixtures in kept)


def _fixture(step: Step, entry: StepEntry, run: _RunFacts) -> dict[str, Any]:
    took = _took(entry, entry.finished_at)
    fixture: dict[str, Any]
    if entry.state is StepState.SUCCEEDED:
        fixture = {"output": _literal(entry.output)}
        took = _within_timeout(step, entry, took)
    elif entry.state is StepState.FAILED:
        fixture = {"error": _error(entry.error or {})}
    else:
        # It comes too late for what stopped the step.
        fixture = {"error": dict(_UNANSWERED)}
        took = _took(entry, entry.finished_at or run.latest) + _SHORTEST
    return fixture if took < _SHORTEST else {**fixture, "delay": format_duration(took)}


def _error(error: Mapping[str, Any]) -> dict[str, Any]:
    error_class = ErrorClass(error.get("class", ErrorClass.PERMANENT))
    return {
        "code": error.get("code", "unknown"),
        "class": str(_OF_THE_ENGINE.get(error_class, error_class)),
        "detail": _literal(error.get("detail", "")),
    }


def _within_timeout(step: Step, entry: StepEntry, took: timedelta) -> timedelta:
    """What the answer took, not longer than it might, however late it was written down; longer where nobody gave it."""
    timeout = step.body.timeout if isinstance(step.body, ApprovalBody) else step.timeout
    if timeout is None:
        return took
    if isinstance(step.body, ApprovalBody) and isinstance(entry.output, Mapping) and entry.output.get("by") is None:
        return max(took, timeout + _SHORTEST)  # the time-out has decided, and is to decide again
    return min(took, timeout)


def _took(entry: StepEntry, until: datetime | None) -> timedelta:
    if entry.started_at is None or until is None:
        return timedelta()
    return timedelta(seconds=round(max(0.0, (until - entry.started_at).total_seconds()), 1))


def _literal(value: Any) -> Any:
    """The value as a template that gives it."""
    if isinstance(value, str):
        return value.replace("${", "$${")
    if isinstance(value, Mapping):
        return {key: _literal(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_literal(inner) for inner in value]
    return value


def _errors(document: Mapping[str, Any], catalog: Catalog) -> Iterator[tuple[str, str]]:
    """Pointer and detail of what is wrong with it."""
    for problem in validate(document, catalog=catalog):
        if problem.severity is Severity.ERROR:
            yield problem.pointer, problem.detail


def _unusable(recorded: Mapping[str, Any], pipeline: Pipeline, catalog: Catalog) -> Iterator[str]:
    """Why the document can be neither simulated nor saved as it is, with the steps whose answers are the reason."""
    places = {step.pointer: step.id for step in _steps_of(pipeline)}
    told: dict[str, str] = {}
    for pointer, detail in _errors(recorded, catalog):
        owner = max((place for place in places if pointer.startswith(f"{place}/")), key=len, default="")
        told.setdefault(places.get(owner, "the document"), detail)
    for owner, detail in told.items():
        yield f"the document cannot be used as it is, because of {owner}: {detail}"
    size = _size(recorded)
    if size > limits.MAX_BYTES:
        by_size = {places[place]: _size(_at(recorded, place).get("simulate")) for place in places}
        largest = [name for name in sorted(by_size, key=lambda name: -by_size[name])[:3] if by_size[name] > size / 4]
        of = f", most of it in the answers of {', '.join(largest)}" if largest else ""
        yield f"the document has {size} bytes{of}: {limits.MAX_BYTES} can be simulated or saved"


def _size(value: Any) -> int:
    """In bytes, as it is printed."""
    return len(orjson.dumps(value, option=orjson.OPT_INDENT_2))
