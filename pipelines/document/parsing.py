"""From the text of a document, JSON or YAML, to its value."""

import json
from itertools import islice
from typing import Any

from pipelines.document import limits
from pipelines.document.encodable import faults
from pipelines.document.problems import DocumentInvalid, Problem, pointer_to
from pipelines.document.yaml_reading import YamlRefused, read_yaml

# A document of a thousand NULs needs no thousand problems.
_MAX_FAULTS = 20


def parse(source: str | bytes) -> Any:
    """The value in `source`, which is JSON or YAML 1.2. Raises DocumentInvalid.

    One document, at most 1 MB and 64 levels deep, no duplicate keys, no tags, aliases counted.
    """
    text = _text(source)
    if "\0" in text:
        raise _invalid("nul_character", "a text may not contain NUL (U+0000)")
    value = _read(text)
    refuse_unusable(value)
    return value


def refuse_unusable(value: Any) -> None:
    """Raises DocumentInvalid where the value is no portable JSON or nests too deep."""
    problems = [
        Problem(pointer=pointer_to("", *fault.path), code=fault.code, detail=fault.reason)
        for fault in islice(faults(value, max_depth=limits.MAX_DEPTH), _MAX_FAULTS)
    ]
    if problems:
        raise DocumentInvalid(problems)


def _text(source: str | bytes) -> str:
    size = len(source) if isinstance(source, bytes) else len(source.encode(errors="surrogatepass"))
    if size > limits.MAX_BYTES:
        raise _invalid("too_large", f"the document has {size} bytes; {limits.MAX_BYTES} are allowed")
    if isinstance(source, str):
        return source
    try:
        return source.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _invalid("not_utf8", f"byte {error.start} is no UTF-8") from error


def _read(text: str) -> Any:
    """JSON is tried first where it may be meant; the flow style of YAML begins with the same brackets."""
    json_error: json.JSONDecodeError | None = None
    if text.lstrip()[:1] in ("{", "["):
        try:
            return json.loads(text, object_pairs_hook=_object, parse_constant=_refuse_constant, parse_int=_integer)
        except json.JSONDecodeError as error:
            json_error = error
        except RecursionError as error:
            raise _invalid("too_deep", f"the document nests more than {limits.MAX_DEPTH} levels deep") from error
    try:
        return read_yaml(text)
    except YamlRefused as error:
        if json_error is not None:
            raise _invalid(
                "malformed", f"line {json_error.lineno}, column {json_error.colno}: {json_error.msg}"
            ) from json_error
        raise _invalid("malformed", str(error), hint=error.hint) from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _invalid("duplicate_key", f"the key {key!r} occurs twice in one object")
        found[key] = value
    return found


def _refuse_constant(name: str) -> Any:
    raise _invalid("unusable_value", f"{name} is no JSON number")


def _integer(digits: str) -> int:
    if len(digits) > 20:
        raise _invalid(
            "integer_too_large", f"{digits[:20]}... is past 2^53, where JSON readers differ; write it as text"
        )
    return int(digits)


def _invalid(code: str, detail: str, *, hint: str | None = None) -> DocumentInvalid:
    return DocumentInvalid([Problem(pointer="", code=code, detail=detail, hint=hint)])
