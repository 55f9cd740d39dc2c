"""JSON Schema checks of tool inputs. References are never fetched: a schema stands alone or is refused."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NoReturn

import jsonschema_rs
import orjson

from pipelines.document.schema_work import Meter, TooMuchWork

# Instance values may be secrets; the library shows them in its messages unless they are masked.
_MASK = "the value"


@dataclass(frozen=True, slots=True)
class Breach:
    """Where (a JSON pointer into the value) and how a value departs from its schema."""

    pointer: str
    message: str


def first_breach(schema: Mapping[str, Any], value: object) -> Breach | None:
    """The first departure of `value` from `schema`, None where it fits. Raises ValueError for a schema that is none."""
    validator, meter = _compiled(orjson.dumps(schema))
    try:
        meter.require_bearable(value)
    except TooMuchWork as error:
        return Breach("", str(error))
    found = next(validator.iter_errors(value), None)
    if found is None:
        return None
    path = "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in found.instance_path)
    return Breach(path, found.message)


def check_schema(schema: Mapping[str, Any]) -> None:
    """Raises ValueError where `schema` is not JSON Schema 2020-12 that stands alone."""
    _compiled(orjson.dumps(schema))


@lru_cache(maxsize=512)
def _compiled(schema: bytes) -> tuple[jsonschema_rs.Draft202012Validator, Meter]:
    # Patterns run in linear time: they and the values they meet may both be hostile.
    source = orjson.loads(schema)
    validator = jsonschema_rs.Draft202012Validator(
        source,
        retriever=_refuse,
        mask=_MASK,
        validate_formats=True,
        pattern_options=jsonschema_rs.RegexOptions(),
    )
    return validator, Meter(source)


def _refuse(uri: str) -> NoReturn:
    raise ValueError(f"the schema refers to {uri}; references outside the schema are refused")
