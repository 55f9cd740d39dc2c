"""JSON Schema checks of tool inputs. References are never fetched: a schema stands alone or is refused."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NoReturn

import jsonschema_rs
import orjson

# Instance values may be secrets; the library shows them in its messages unless they are masked.
_MASK = "the value"


@dataclass(frozen=True, slots=True)
class Breach:
    """Where (a JSON pointer into the value) and how a value departs from its schema."""

    pointer: str
    message: str


def first_breach(schema: Mapping[str, Any], value: object) -> Breach | None:
    """The first departure of `value` from `schema`, None where it fits. Raises ValueError for a schema that is none."""
    validator = _compiled(orjson.dumps(schema))
    error = next(validator.iter_errors(value), None)
    if error is None:
        return None
    path = "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in error.instance_path)
    return Breach(path, error.message)


def check_schema(schema: Mapping[str, Any]) -> None:
    """Raises ValueError where `schema` is not JSON Schema 2020-12 that stands alone."""
    _compiled(orjson.dumps(schema))


@lru_cache(maxsize=512)
def _compiled(schema: bytes) -> jsonschema_rs.Draft202012Validator:
    # Patterns run in linear time: they and the values they meet may both be hostile.
    return jsonschema_rs.Draft202012Validator(
        orjson.loads(schema),
        retriever=_refuse,
        mask=_MASK,
        validate_formats=True,
        pattern_options=jsonschema_rs.RegexOptions(),
    )


def _refuse(uri: str) -> NoReturn:
    raise ValueError(f"the schema refers to {uri}; references outside the schema are refused")
