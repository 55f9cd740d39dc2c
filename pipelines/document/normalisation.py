"""Other ways to write a document, brought to version 1.

The predecessor's form is `{params, pipeline: [...]}` with `timeout_seconds` and `max_retries` on its steps. And a
loader of YAML 1.1 has turned the key `on` of a retry policy into true.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from pipelines.document.kinds import Keys
from pipelines.document.layout import list_at
from pipelines.document.limits import MAX_WAIT
from pipelines.document.problems import Problem, Severity, pointer_to
from pipelines.document.steps import blocks_inside
from pipelines.expressions.durations import format_duration


@dataclass(frozen=True, slots=True, kw_only=True)
class Normalised:
    """`document` is in version 1, `steps_pointer` where its steps stood. Only the older form `may_be_empty`."""

    document: Any
    steps_pointer: str = "/steps"
    may_be_empty: bool = False
    problems: tuple[Problem, ...] = field(default=())


def normalise(document: Any) -> Any:
    """The document in version 1, as it should be stored. What is wrong with it is left for `validate` to say.

    An empty pipeline exists only in the predecessor's form, so such a document stays in it.
    """
    normal = to_version_1(document)
    if normal.may_be_empty and not normal.document.get("steps"):
        return document
    return normal.document


def to_version_1(document: Any) -> Normalised:
    """The document in version 1 with the problems that only its first form can have."""
    problems: list[Problem] = []
    if not isinstance(document, Mapping):
        return Normalised(document=document)
    is_older = "pipeline" in document and "steps" not in document
    if is_older:
        document = {"version": 1, **{("steps" if key == "pipeline" else key): value for key, value in document.items()}}
    pointer = "/pipeline" if is_older else "/steps"
    for section in ("steps", "on_error", "finally"):
        place = pointer if section == "steps" else pointer_to("", section)
        if isinstance(document.get(section), list):
            document = {**document, section: _steps(document[section], place, is_older, problems)}
    return Normalised(document=document, steps_pointer=pointer, may_be_empty=is_older, problems=tuple(problems))


def _steps(steps: Any, pointer: str, is_older: bool, problems: list[Problem]) -> Any:
    if not isinstance(steps, list):
        return steps
    return [_step(step, pointer_to(pointer, index), is_older, problems) for index, step in enumerate(steps)]


def _step(step: Any, pointer: str, is_older: bool, problems: list[Problem]) -> Any:
    if not isinstance(step, Mapping):
        return step
    normal = dict(step)
    if isinstance(normal.get("catch"), list):
        normal["catch"] = [
            _without_true(clause, pointer_to(pointer, "catch", index), problems)
            if isinstance(clause, Mapping)
            else clause
            for index, clause in enumerate(normal["catch"])
        ]
    for keys in blocks_inside(normal):
        nested = list_at(normal, keys)
        if nested:
            brought = _steps(nested, pointer_to(pointer, *keys), is_older, problems)
            normal = _replaced(normal, keys, brought)
    if isinstance(normal.get("retry"), Mapping):
        normal["retry"] = _without_true(normal["retry"], pointer_to(pointer, "retry"), problems)
    if is_older:
        _take_timeout(normal, pointer, problems)
        _take_retries(normal, pointer, problems)
    return normal


def _replaced(source: Any, keys: Keys, value: Any) -> Any:
    """A copy of `source` with `value` under `keys`."""
    if not keys:
        return value
    key, *rest = keys
    copy: Any = list(source) if isinstance(source, list) else dict(source)
    copy[key] = _replaced(copy[key], tuple(rest), value)
    return copy


def _without_true(retry: Mapping[Any, Any], pointer: str, problems: list[Problem]) -> dict[Any, Any]:
    mistaken = next((key for key in retry if key is True or key == "true"), None)
    if mistaken is None or "on" in retry:
        return dict(retry)
    problems.append(
        Problem(
            pointer=pointer_to(pointer, "true"),
            code="yaml_on",
            detail="the key 'true' is read as 'on': a YAML 1.1 loader has turned one into the other",
            hint="quote the key 'on' in YAML, or load it as YAML 1.2",
            severity=Severity.WARNING,
        )
    )
    return {("on" if key is mistaken else key): value for key, value in retry.items()}


def _take_timeout(step: dict[str, Any], pointer: str, problems: list[Problem]) -> None:
    if "timeout_seconds" not in step or "timeout" in step:
        return
    seconds = step.pop("timeout_seconds")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < math.inf:
        problems.append(_wrong(pointer, "timeout_seconds", "must be a number of seconds above 0"))
    else:
        step["timeout"] = format_duration(timedelta(seconds=min(seconds, _LONGEST_SECONDS)))


def _take_retries(step: dict[str, Any], pointer: str, problems: list[Problem]) -> None:
    if "max_retries" not in step or "retry" in step:
        return
    retries = step.pop("max_retries")
    if isinstance(retries, bool) or not isinstance(retries, int) or not 0 <= retries < _MOST_RETRIES:
        problems.append(_wrong(pointer, "max_retries", f"must be a whole number from 0 to {_MOST_RETRIES - 1}"))
    elif retries:
        step["retry"] = {"max_attempts": retries + 1, "backoff": "exponential", "initial": "PT1S", "jitter": True}


_MOST_RETRIES = 100
_LONGEST_SECONDS = MAX_WAIT.total_seconds()


def _wrong(pointer: str, name: str, requirement: str) -> Problem:
    return Problem(pointer=pointer_to(pointer, name), code="invalid_value", detail=f"{name} {requirement}")
