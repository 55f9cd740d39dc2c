"""Anything as a document: it is taken or refused with problems, soon, and what is taken runs to an end."""

import copy
import json
import time
from contextlib import suppress
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipelines.document import DocumentInvalid, compile_document, has_errors, parse, validate
from pipelines.simulation import simulate
from tests.effort import examples
from tests.unit.pipelines.scenarios.documents import scenarios
from tests.unit.pipelines.world import CATALOG

PROCESSOR_TIME = 1.0  # seconds; a tenth alone, but tests share their machine

SOUND = [scenario.document for _, scenario in scenarios()]
_WORDS = """
version steps id uses with set if try catch on as finally parallel branches for_each while wait for max_iterations until
switch cases when retry timeout fail succeed outputs params limits simulate first box fetch ${steps.first} ${ PT1S P1D
"""
WORDS = st.sampled_from([*_WORDS.split(), "not a name", "\x00", "\ud800", "a" * 300, "${" + "a." * 1200 + "a}"])
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**60), 2**60), st.floats(), st.text(max_size=8), WORDS, st.just(1e400)
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4), max_leaves=12
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where something stands in a document."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, each in inside for place in places(each, (*path, key)))]


@st.composite
def mutants(draw: st.DrawFn) -> Any:
    """A sound document in which a few things are replaced, taken out, doubled or added."""
    document = copy.deepcopy(draw(st.sampled_from(SOUND)))
    for _ in range(draw(st.integers(1, 4))):
        inside = places(document)[1:]
        if not inside:
            break
        *path, last = draw(st.sampled_from(inside))
        holder: Any = document
        for key in path:
            holder = holder[key]
        match draw(st.sampled_from(["replace", "remove", "double", "add"])):
            case "replace":
                holder[last] = draw(VALUES)
            case "remove":
                del holder[last]
            case "double" if isinstance(holder, list):
                holder.insert(last, copy.deepcopy(holder[last]))
            case "add" if isinstance(holder, dict):
                holder[draw(WORDS)] = draw(VALUES)
    return document


def assert_answered(document: Any) -> None:
    """With problems that name a place, or by a run that ends; whichever, in a bounded time."""
    began = time.process_time()
    problems = validate(document, catalog=CATALOG)
    for problem in problems:
        assert problem.code
        assert problem.detail
        _require_place(document, problem.pointer)
        orjson.dumps(problem.detail + problem.pointer + (problem.hint or ""))
    assert time.process_time() - began < PROCESSOR_TIME
    if has_errors(problems):
        with pytest.raises(DocumentInvalid):
            compile_document(document, catalog=CATALOG)
        return
    compile_document(document, catalog=CATALOG)
    with suppress(DocumentInvalid):  # params that its own schema refuses
        assert simulate(document, catalog=CATALOG)["state"] in ("succeeded", "failed")
    assert time.process_time() - began < 5 * PROCESSOR_TIME


def _require_place(document: Any, pointer: str) -> None:
    """A pointer leads to what stands there, or to a member of what stands there that is missing."""
    value = document
    *parts, _ = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")]
    for part in parts[1:]:
        if "\\ud800" in part:
            return  # as it can be shown
        assert isinstance(value, dict | list), pointer
        value = value[int(part)] if isinstance(value, list) else value[part]


@settings(deadline=None, max_examples=examples(300))
@given(document=mutants())
def test_a_sound_document_with_a_few_changes_is_refused_with_problems_or_runs(document: Any) -> None:
    assert_answered(document)


@settings(deadline=None, max_examples=examples(200))
@given(document=VALUES)
@example(document={"version": 1, "steps": [{"wait": {"for": "P99999999999D"}}]})
@example(document={"version": 1, "steps": [{"while": "true", "max_iterations": 10_000, "steps": [{"set": {}}]}]})
def test_any_value_is_refused_with_problems_or_runs(document: Any) -> None:
    assert_answered(document)


TEXTS = st.lists(
    st.sampled_from(
        [
            *("version: 1\n", "steps:\n", "  - ", "    ", "{", "}", "[", "]", ": ", ", ", "&a ", "*a ", "!x ", "<<: "),
            *("!!python/object:os.system ", "? ", "| ", "> ", "'", '"', "#", "---\n", "...\n", "%YAML 1.1\n", "\t"),
            *("\n", "id: a\n", "set: ", "NaN", "1e999", "0x1F", "1:30", "on", "null", "~", "\x00", "\ufeff", "\\u0000"),
            *("a" * 50, "💥", '{"a": 1, "a": 2}'),
        ]
    ),
    max_size=30,
).map("".join)


@settings(deadline=None, max_examples=examples(400))
@given(text=TEXTS)
@example(text="a: &a [x]\n" + "".join(f"b{n}: &b{n} [*a, *a, *a, *a, *a, *a, *a, *a, *a]\n" for n in range(9)))
@example(text="[" * 5000)
@example(text='{"a":' * 5000)
@example(text="? " * 5000)
@example(text="a: " + "{b: " * 2000)
def test_any_text_is_read_or_refused(text: str) -> None:
    for source in (text, text.encode("utf-8", "surrogatepass"), text.encode("utf-16")):
        began = time.process_time()
        with suppress(DocumentInvalid):
            json.dumps(parse(source), allow_nan=False)
        assert time.process_time() - began < PROCESSOR_TIME


@settings(deadline=None, max_examples=examples(100))
@given(data=st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with suppress(DocumentInvalid):
        parse(data)
