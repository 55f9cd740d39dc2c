"""From a document to a pipeline that can be run, or to the list of everything that is wrong with it."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from pipelines.document import limits
from pipelines.document.compilation import Compilation
from pipelines.document.layout import Layout, PlacedStep, identity_of, placed
from pipelines.document.names import EVERYWHERE, Names
from pipelines.document.nodes import Assertion, Pipeline
from pipelines.document.normalisation import Normalised, to_version_1
from pipelines.document.parsing import refuse_unusable
from pipelines.document.paths import path_problems
from pipelines.document.problems import DocumentInvalid, Problem, has_errors, pointer_to
from pipelines.document.schemas import Schema, SchemaRefused, compile_schema
from pipelines.document.shape import DOCUMENT_FIELDS, check_shape, object_of, problem_of
from pipelines.document.steps import blocks_inside, compile_block, is_loop
from pipelines.tools.base import Catalog

_SCHEMA = object_of(DOCUMENT_FIELDS)
SECTIONS = ("steps", "on_error", "finally")  # in the order in which steps are counted


def compile_document(
    document: Any,
    *,
    catalog: Catalog,
    secrets: Mapping[str, Collection[str]] | None = None,
    simulated: Collection[str] = (),
    accepts_fixtures: bool = False,
) -> Pipeline:
    """Compile a document in any accepted form. Raises DocumentInvalid with every problem found, warnings included.

    `simulated` names tools that are taken although the catalog lacks them; `accepts_fixtures` takes any unknown tool
    whose step has a fixture, which is how documents are tried on a machine without the tools. `secrets` are those
    that exist, with the tools that may have each; None takes any, which a run then finds or does not.
    """
    compilation = Compilation(
        catalog=catalog,
        secrets=secrets,
        simulated=frozenset(simulated),
        accepts_fixtures=accepts_fixtures,
    )
    pipeline, problems = _compile(document, compilation)
    if pipeline is None:
        raise DocumentInvalid(problems)
    return pipeline


def validate(
    document: Any,
    *,
    catalog: Catalog,
    secrets: Mapping[str, Collection[str]] | None = None,
    simulated: Collection[str] = (),
    accepts_fixtures: bool = False,
    roles: Collection[str] | None = None,
) -> list[Problem]:
    """Every problem of a document, errors and warnings, in the order of the document; empty: it can be run.

    As `compile_document`. `roles` are those that approvals may name; None takes any without a word.
    """
    compilation = Compilation(
        catalog=catalog,
        secrets=secrets,
        simulated=frozenset(simulated),
        accepts_fixtures=accepts_fixtures,
        roles=roles,
    )
    return _compile(document, compilation)[1]


def check_params(pipeline: Pipeline, params: Any) -> list[Problem]:
    """What keeps the pipeline from running with these params, laid over its defaults. Pointers begin with `/params`."""
    if not isinstance(params, Mapping):
        return [Problem(pointer="/params", code="wrong_type", detail="params are an object")]
    if pipeline.params_schema is None:
        return []
    merged = pipeline.merge_params(params)
    return [problem_of(breach, "/params") for breach in pipeline.params_schema.breaches(merged)]


def _compile(document: Any, compilation: Compilation) -> tuple[Pipeline | None, list[Problem]]:
    normal = to_version_1(document)
    try:
        refuse_unusable(normal.document)
    except DocumentInvalid as error:
        return None, list(error.problems)
    compilation.problems.extend(normal.problems)
    pipeline = _DocumentCompiler(normal, compilation).compile()
    if has_errors(compilation.problems):
        return None, compilation.problems
    return pipeline, compilation.problems


class _DocumentCompiler:
    def __init__(self, normal: Normalised, compilation: Compilation) -> None:
        self._normal = normal
        self._compilation = compilation
        self._document: Mapping[str, Any] = {}

    def compile(self) -> Pipeline | None:
        if not isinstance(self._normal.document, Mapping):
            self._compilation.refuse(
                "", "wrong_type", "a document is an object", hint="write version: 1 and steps: [...]"
            )
            return None
        self._document = self._usable_fields(self._normal.document)
        sections = {name: self._section(name) for name in SECTIONS}
        self._refuse_empty(sections["steps"])
        params_schema = self._params_schema()
        self._compilation.layout = self._layout(sections)
        names = self._names()
        main = compile_block(sections["steps"], self._place("steps"), self._compilation, names)
        after = main.names.with_roots("error")
        on_error = compile_block(sections["on_error"], "/on_error", self._compilation, after.inside_last())
        last = compile_block(sections["finally"], "/finally", self._compilation, on_error.names)
        for block in (main, on_error, last):
            self._compilation.problems.extend(path_problems(block.steps))
        return Pipeline(
            source=self._normal.document,
            params=self._document.get("params", {}),
            params_schema=params_schema,
            steps=main.steps,
            on_error=on_error.steps,
            last=last.steps,
            outputs=self._compilation.value(self._document.get("outputs", {}), "/outputs", after),
            assertions=tuple(self._assertions(after.with_roots("outputs"))),
            max_steps=self._document.get("limits", {}).get("max_steps", limits.MAX_STEPS_STARTED),
            warnings=tuple(self._compilation.problems),
            reads=self._compilation.reads,
        )

    def _section(self, name: str) -> Sequence[Any]:
        written = self._document.get(name)
        return written if isinstance(written, list) else ()

    def _place(self, section: str) -> str:
        return self._normal.steps_pointer if section == "steps" else pointer_to("", section)

    def _usable_fields(self, document: Mapping[str, Any]) -> Mapping[str, Any]:
        """The fields whose shape is right; the others are refused."""
        wrong: set[Any] = set()
        for breach, problem in check_shape(document, _SCHEMA, ""):
            self._compilation.problems.append(self._at_its_place(problem))
            wrong.update(breach.path[:1])
        return {key: value for key, value in document.items() if key not in wrong}

    def _at_its_place(self, problem: Problem) -> Problem:
        """Problems of the list of steps are told where the list stands in the document as it was given."""
        if problem.pointer != "/steps":
            return problem
        return Problem(pointer=self._normal.steps_pointer, code=problem.code, detail=problem.detail, hint=problem.hint)

    def _refuse_empty(self, sources: Sequence[Any]) -> None:
        if "steps" not in self._normal.document:
            self._compilation.refuse("", "missing_field", "the field 'steps' is required", hint="steps: [...]")
        elif not sources and "steps" in self._document and not self._normal.may_be_empty:
            self._compilation.refuse("/steps", "empty", "a document has at least one step")
        for section in ("on_error", "finally"):
            if self._document.get(section) == []:
                self._compilation.refuse(f"/{section}", "empty", "a list of steps has at least one")

    def _params_schema(self) -> Schema | None:
        source = self._document.get("params_schema")
        if source is None:
            return None
        try:
            return compile_schema(source)
        except SchemaRefused as error:
            self._compilation.refuse("/params_schema", "bad_schema", str(error), hint="JSON Schema 2020-12")
            return None

    def _layout(self, sections: Mapping[str, Sequence[Any]]) -> Layout:
        """Every step's names, found before any step is compiled; a name that occurs twice is refused."""
        found: list[PlacedStep] = []
        owners: set[str] = set()
        for section, sources in sections.items():
            for pointer, source, loops in placed(sources, self._place(section), blocks_inside, is_loop):
                identity = identity_of(source, len(found) + 1)
                found.append(PlacedStep(pointer, identity, loops))
                for name in identity.names:
                    if name in owners:
                        field_name = "id" if name == identity.id else "save_as"
                        detail = f"another step is called {name!r} already"
                        self._compilation.refuse(pointer_to(pointer, field_name), "duplicate_id", detail)
                    owners.add(name)
        if len(found) > limits.MAX_STEPS_WRITTEN:
            detail = f"a document has at most {limits.MAX_STEPS_WRITTEN} steps; this has {len(found)}"
            self._compilation.refuse(self._place("steps"), "too_many_steps", detail)
        return Layout(found)

    def _names(self) -> Names:
        return Names(
            roots=EVERYWHERE,
            steps=frozenset(),
            all_steps=self._compilation.layout.all_names,
            params=self._known_params(),
            secrets=self._compilation.secrets,
            loops=self._compilation.layout.loops,
        )

    def _known_params(self) -> frozenset[str] | None:
        """The parameters that defaults and schema name; None where the document names none at all."""
        schema = self._document.get("params_schema")
        described = schema.get("properties") if isinstance(schema, Mapping) else None
        # What is no schema has been refused before; its parts may be anything.
        known = frozenset(self._document.get("params", {})) | frozenset(
            described if isinstance(described, Mapping) else ()
        )
        return known or None

    def _assertions(self, names: Names) -> Iterator[Assertion]:
        for index, text in enumerate(self._document.get("assert", [])):
            expression = self._compilation.condition(text, pointer_to("/assert", index), names)
            if expression is not None:
                yield Assertion(text, expression)
