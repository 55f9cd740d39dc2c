"""`uses: name`, `with: {...}`: call a tool."""

from collections.abc import Iterator

from pipelines.document.kinds.base import StepKind, WrittenStep
from pipelines.document.nodes import ToolBody
from pipelines.document.problems import pointer_to
from pipelines.document.schemas import Breach, Schema, SchemaRefused, compile_schema
from pipelines.document.shape import problem_of
from pipelines.expressions import CompiledValue, compile_value
from pipelines.expressions.suggestion import did_you_mean
from pipelines.secrets.recognition import why_never_recognisable
from pipelines.secrets.redaction import shown
from pipelines.tools.base import SideEffect, ToolSpec

# Departures of an object or list that hold whatever its templates will render.
_OF_THE_CONTAINER = frozenset(
    {
        "required",
        "additionalProperties",
        "unevaluatedProperties",
        "type",
        "minProperties",
        "maxProperties",
        "minItems",
        "maxItems",
    }
)
_NOTHING_GIVEN = compile_value({})


def _compile(step: WrittenStep) -> ToolBody | None:
    if not step.has("uses"):
        return None
    spec = _find(step)
    names = step.names if spec is None else step.names.of_input(spec)
    given = step.value("with", names=names) if step.has("with") else _NOTHING_GIVEN
    _check_secrets(step, given)
    if spec is None:
        return None
    if step.source.get("simulate") == "real" and (spec.side_effect is not SideEffect.PURE or not spec.is_installed):
        step.refuse("simulate", "not_pure", f"{spec.name} is no installed pure tool, so a simulated run cannot call it")
    try:
        schemas = compile_schema(dict(spec.input_schema)), compile_schema(dict(spec.output_schema))
    except SchemaRefused as error:
        step.refuse("uses", "bad_tool", f"the tool {spec.name} declares a schema that is none: {error}")
        return None
    if step.has("with") or "with" not in step.source:
        _check_literals(step, schemas[0], given)
    return ToolBody(
        spec=spec, given=given, shown=given.masked(_mask), input_schema=schemas[0], output_schema=schemas[1]
    )


def _check_secrets(step: WrittenStep, given: CompiledValue) -> None:
    """Refuse expressions that can only give what says something of a secret and is not found again."""
    for path, template in given.templates.items():
        for expression in template.expressions:
            why = why_never_recognisable(expression) if expression.secrets else None
            if why is not None:
                step.compilation.refuse(pointer_to(step.place("with"), *path), why.code, why.detail, hint=why.hint)


def _mask(names: frozenset[str]) -> str:
    return shown(", ".join(sorted(names)))


def _find(step: WrittenStep) -> ToolSpec | None:
    name: str = step.source["uses"]
    compilation = step.compilation
    spec = compilation.catalog.get(name)
    if spec is not None:
        return spec
    has_fixture = step.source.get("simulate", "real") not in ("real", True)
    if name in compilation.simulated or (compilation.accepts_fixtures and has_fixture):
        return ToolSpec(name=name, description="Not installed here.", input_schema={}, output_schema={})
    known = compilation.catalog
    hint = known.why_missing(name) or did_you_mean(name, known.names()) or "the catalog lists the tools of this host"
    step.refuse("uses", "unknown_tool", f"there is no tool {name!r}", hint=hint)
    return None


def _check_literals(step: WrittenStep, schema: Schema, given: CompiledValue) -> None:
    pointer = step.place("with") if "with" in step.source else step.pointer
    step.compilation.problems.extend(problem_of(breach, pointer) for breach in _literal_breaches(schema, given))


def _literal_breaches(schema: Schema, given: CompiledValue) -> Iterator[Breach]:
    """The departures that no rendering can mend."""
    for breach in schema.breaches(given.source):
        place = breach.path
        if place in given.templates:
            continue
        is_open = any(path[: len(place)] == place for path in given.templates)
        if not is_open or breach.keyword in _OF_THE_CONTAINER:
            yield breach


TOOL = StepKind(
    name="tool",
    keyword="uses",
    fields={"uses": {"type": "string", "minLength": 1}, "with": {"type": "object"}},
    required=("uses",),
    compile=_compile,
)
