"""Forms of approvals: the schema of what whoever decides fills in, read alike where it is saved, shown and answered."""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from pipelines.document.limits import MAX_FORM_BYTES
from pipelines.document.schemas import Breach, Schema, SchemaRefused, compile_schema


def compile_form(source: Any) -> Schema:
    """The schema of an object. Raises SchemaRefused."""
    size = len(orjson.dumps(source))
    if size > MAX_FORM_BYTES:
        raise SchemaRefused(f"a form has at most {MAX_FORM_BYTES} bytes as JSON, and this has {size}")
    schema = compile_schema(source)
    if not isinstance(source, Mapping) or source.get("type", "object") != "object":
        raise SchemaRefused("a form is the schema of an object, whose properties are its fields")
    return schema


def form_breaches(form: Schema | None, given: Any) -> Iterator[Breach]:
    """Every departure of a filled-in form; without a form nothing is filled in."""
    if not isinstance(given, Mapping):
        yield Breach((), "type", "a filled-in form is an object")
        return
    if form is not None:
        yield from form.breaches(given)
        return
    for name in given:
        yield Breach((name,), "additionalProperties", f"the field {name!r} is not known here: nothing is filled in")
