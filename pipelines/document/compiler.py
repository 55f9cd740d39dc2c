"""From a document to a pipeline that can be run, or to the list of everything that is wrong with it."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from pipelines.document import limits
from pipelines.document.compilation import Compilation
from pipelines.document.kinds import PLANNED_SECTIONS
from pipelines.document.names import EVERYWHERE, Names
from pipelines.document.nodes import Assertion, Pipeline, Step
from pipelines.document.normalisation import Normalised, to_version_1
from pipelines.document.parsing import refuse_unusable
from pipelines.document.problems import DocumentInvalid, Problem, has_errors, pointer_to
from pipelines.document.schemas import Schema, SchemaRefused, compile_schema
from pipelines.document.shape import DOCUMENT_FIELDS, check_shape, object_of, problem_of
from pipelines.document.steps import StepIdentity, compile_step
from pipelines.tools.base import Catalog

_SCHEMA = object_of(DOCUMENT_FIELDS)


def compile_document(
    document: Any,
    *,
    catalog: Catalog,
    secret_names: Collection[str] = (),
    simulated: Collection[str] = (),
    accepts_fixtures: bool = False,
) -> Pipeline:
    """Compile a document in any accepted form. Raises DocumentInvalid with every problem found, warnings included.

    `simulated` names tools that are taken although the catalog lacks them; `accepts_fixtures` takes any unknown tool
    whose step has a fixture, which is how documents are tried on a machine without the tools. `secret_names` are the
    secrets that exist; until their values are tracked through results, using one is refused as not supported.
    """
    compilation = Compilation(
        catalog=catalog,
        secret_names=frozenset(secret_names),
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
    secret_names: Collection[str] = (),
    simulated: Collection[str] = (),
    accepts_fixtures: bool = False,
) -> list[Problem]:
    """Every problem of a document, errors and warnings, in the order of the document; empty: it can be run."""
    compilation = Compilation(
        catalog=catalog,
        secret_names=frozenset(secret_names),
        simulated=frozenset(simulated),
        accepts_fixtures=accepts_fixtures,
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
        written = self._document.get("steps")
        sources: Sequence[Any] = written if isinstance(written, list) else ()
        self._refuse_empty(sources)
        params_schema = self._params_schema()
        identities = self._identities(sources)
        names = self._names(identities)
        steps = self._steps(sources, identities, names)
        after = names.with_steps(names.all_steps).with_roots("error")
        return Pipeline(
            source=self._normal.document,
            params=self._document.get("params", {}),
            params_schema=params_schema,
            steps=steps,
            outputs=self._compilation.value(self._document.get("outputs", {}), "/outputs", after),
            assertions=tuple(self._assertions(after.with_roots("outputs"))),
            max_steps=self._document.get("limits", {}).get("max_steps", limits.MAX_STEPS_STARTED),
            warnings=tuple(self._compilation.problems),
            reads=self._compilation.reads,
        )

    def _usable_fields(self, document: Mapping[str, Any]) -> Mapping[str, Any]:
        """The fields whose shape is right; the others are refused."""
        for section in PLANNED_SECTIONS:
            if section in document:
                self._compilation.refuse(f"/{section}", "unsupported_kind", f"{section} is not supported yet")
        known = {key: value for key, value in document.items() if key not in PLANNED_SECTIONS}
        wrong: set[Any] = set()
        for breach, problem in check_shape(known, _SCHEMA, ""):
            self._compilation.problems.append(self._at_its_place(problem))
            wrong.update(breach.path[:1])
        return {key: value for key, value in known.items() if key not in wrong}

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

    def _params_schema(self) -> Schema | None:
        source = self._document.get("params_schema")
        if source is None:
            return None
        try:
            return compile_schema(source)
        except SchemaRefused as error:
            self._compilation.refuse("/params_schema", "bad_schema", str(error), hint="JSON Schema 2020-12")
            return None

    def _identities(self, sources: Sequence[Any]) -> list[StepIdentity]:
        """Every step's names, found before any step is compiled; a name that occurs twice is refused."""
        identities = [_identity(source, position) for position, source in enumerate(sources, start=1)]
        owners: Counter[str] = Counter()
        for index, identity in enumerate(identities):
            for name in identity.names:
                if owners[name]:
                    field_name = "id" if name == identity.id else "save_as"
                    self._compilation.refuse(
                        pointer_to(self._normal.steps_pointer, index, field_name),
                        "duplicate_id",
                        f"another step is called {name!r} already",
                    )
                owners[name] += 1
        return identities

    def _names(self, identities: Sequence[StepIdentity]) -> Names:
        return Names(
            roots=EVERYWHERE,
            steps=frozenset(),
            all_steps=frozenset(name for identity in identities for name in identity.names),
            params=self._known_params(),
            secrets=self._compilation.secret_names,
        )

    def _known_params(self) -> frozenset[str] | None:
        """The parameters that defaults and schema name; None where the document names none at all."""
        schema = self._document.get("params_schema")
        described = schema.get("properties", {}) if isinstance(schema, Mapping) else {}
        known = frozenset(self._document.get("params", {})) | frozenset(described)
        return known or None

    def _steps(self, sources: Sequence[Any], identities: Sequence[StepIdentity], names: Names) -> tuple[Step, ...]:
        steps: list[Step] = []
        for index, (source, identity) in enumerate(zip(sources, identities, strict=True)):
            pointer = pointer_to(self._normal.steps_pointer, index)
            step = compile_step(source, pointer, identity, self._compilation, names)
            if step is not None:
                steps.append(step)
            names = names.with_steps(identity.names)
        return tuple(steps)

    def _assertions(self, names: Names) -> Iterator[Assertion]:
        for index, text in enumerate(self._document.get("assert", [])):
            expression = self._compilation.condition(text, pointer_to("/assert", index), names)
            if expression is not None:
                yield Assertion(text, expression)


def _identity(source: Any, position: int) -> StepIdentity:
    written = source if isinstance(source, Mapping) else {}
    step_id = written.get("id")
    if not isinstance(step_id, str):
        step_id = f"step_{position}"
    alias = written.get("save_as")
    if not isinstance(alias, str) or alias == step_id:
        return StepIdentity(id=step_id, names=(step_id,))
    return StepIdentity(id=step_id, names=(step_id, alias))
