"""The reference of the functions, written from the registry: `python -m pipelines.expressions.functions.reference`."""

import sys
from collections.abc import Iterator

import orjson

from pipelines.expressions.functions import STANDARD, Function

_TITLES = {
    "arithmetic": "Arithmetic",
    "choice": "Choosing",
    "text": "Strings",
    "dates": "Dates",
    "encoding": "JSON, hashes, encodings",
    "patterns": "Regular expressions",
    "collections": "Lists and objects",
    "jmespath_numbers": "JMESPath's own: values",
    "jmespath_collections": "JMESPath's own: lists and objects",
}
_INTRODUCTION = """# Functions of expressions

What `${...}` may call. The subject comes first, options come last, `?` marks an optional argument, `...` takes any
number, `expression` is `&x`: an expression that is evaluated for each item. A value that a function cannot take is an
error of class `expression`, code `bad_argument`; a null is one too, unless the function says otherwise, and
`default(value, fallback)` answers it. Everything here is pure and bounded. Instants are ISO 8601 texts: UTC with `Z`,
or with the offset of the zone that is given.

This page is written from the code; the examples are its tests.
"""


def render_reference() -> str:
    """The page, in Markdown."""
    return "\n".join([_INTRODUCTION, *_sections()])


def _sections() -> Iterator[str]:
    for topic, title in _TITLES.items():
        yield f"## {title}\n"
        for known in STANDARD.values():
            if known.topic == topic:
                yield _entry(known)


def _entry(known: Function) -> str:
    lines = [f"### {known.name}\n", f"`{known.signature.text}`\n", f"{known.description}\n", "```text"]
    lines += [f"{expression}  →  {orjson.dumps(value).decode()}" for expression, value in known.examples]
    return "\n".join([*lines, "```\n"])


if __name__ == "__main__":
    sys.stdout.write(render_reference())
