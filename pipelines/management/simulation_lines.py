"""One line of `simulate --jsonl`: what it may hold, and its answer."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pipelines.document import DocumentInvalid, parse
from pipelines.document.moments import read_instant
from pipelines.expressions.durations import parse_timedelta
from pipelines.management.lines import LineRefused, error_answer, refuse_unknown
from pipelines.servers.calls import simulated_blocks
from pipelines.simulation import simulate
from pipelines.tools.base import ANY_SECRET, Catalog, ToolSpec
from pipelines.tools.registry import catalog

FIELDS = ("document", "params", "event", "cancel_at", "now", "expressions", "tools")


def answer(given: dict[str, Any]) -> dict[str, Any]:
    """The answer to one line. Raises LineRefused where a field is unknown or of the wrong form."""
    refuse_unknown(given, known=FIELDS)
    params, event = given.get("params"), given.get("event")
    if not isinstance(params, dict | None) or not isinstance(event, dict | None):
        raise LineRefused('"params" and "event" are objects')
    expressions = given.get("expressions", False)
    if not isinstance(expressions, bool):
        raise LineRefused('"expressions" is true or false')
    cancel_at = _read("cancel_at", given.get("cancel_at"), parse_timedelta)
    now = _read("now", given.get("now"), read_instant)
    tools = _catalog_with(given.get("tools"))
    document = given.get("document")
    try:
        return simulate(
            parse(document) if isinstance(document, str) else document,
            params=params,
            event=event,
            cancel_at=cancel_at,
            catalog=tools,
            now=now,
            expressions=expressions,
        )
    except DocumentInvalid as error:
        return invalid_answer(error)
    except MemoryError:
        return error_answer("too_large", "the simulation needs more memory than it may have")


def invalid_answer(error: DocumentInvalid) -> dict[str, Any]:
    """A problem document (RFC 9457) with the state that the lines of `--jsonl` carry."""
    return {
        "state": "invalid",
        "title": "The document is invalid",
        "status": 422,
        "code": "document_invalid",
        "problems": [problem.as_dict() for problem in error.problems],
    }


def tool_field(spec: ToolSpec) -> dict[str, Any]:
    """A tool of a tool server as an item of the field `tools`."""
    return {
        "name": spec.name,
        "description": spec.description,
        "input_schema": dict(spec.input_schema),
        "output_schema": dict(spec.output_schema) or None,
    }


def _read(field: str, value: Any, read: Callable[[str], Any]) -> Any:
    try:
        return None if value is None else read(str(value))
    except (ValueError, OverflowError) as error:
        raise LineRefused(f'"{field}": {error}') from error


class _WithDeclared(Catalog):
    """The tools of this host and those that the line declares; an installed one wins its name."""

    def __init__(self, declared: Mapping[str, ToolSpec]) -> None:
        self._declared = declared

    def get(self, name: str) -> ToolSpec | None:
        return catalog().get(name) or self._declared.get(name)

    def names(self) -> Sequence[str]:
        return sorted({*catalog().names(), *self._declared})


def _catalog_with(tools: Any) -> Catalog:
    if tools is None:
        return catalog()
    try:
        return _WithDeclared({each["name"]: _declared(**each) for each in tools})
    except (TypeError, KeyError) as error:
        raise LineRefused('"tools" are objects: {"name", "description", "input_schema", "output_schema"}') from error


def _declared(
    *, name: str, description: str, input_schema: dict[str, Any], output_schema: dict[str, Any] | None
) -> ToolSpec:
    """A tool that is only simulated: without a schema of its output, as tool servers answer then."""
    return ToolSpec(
        name=name,
        description=description,
        input_schema=input_schema,
        output_schema=output_schema or {},
        secrets=frozenset({ANY_SECRET}),
        simulate=None if output_schema else simulated_blocks,
    )
