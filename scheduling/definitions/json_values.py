"""Which JSON values can be kept: what PostgreSQL or another reader of the same JSON would not give back is refused."""

import math
from collections.abc import Iterator
from typing import Any

from scheduling.errors import NotValid, Problem

LARGEST_INTEGER = 2**53
DEPTH_LIMIT = 64
_PROBLEMS_SHOWN = 20


def problems_of(value: Any, *, pointer: str = "") -> list[Problem]:
    """What in `value` cannot be kept, at most twenty places: NUL, lone surrogates, NaN, integers past 2^53, depth.

    Walks without recursion, so that no depth of nesting exhausts the stack.
    """
    found: list[Problem] = []
    waiting: list[tuple[Any, str, int]] = [(value, pointer, 0)]
    while waiting and len(found) < _PROBLEMS_SHOWN:
        item, place, depth = waiting.pop()
        if depth > DEPTH_LIMIT:
            found.append(_too_deep(place))
        elif isinstance(item, dict):
            for name, member in item.items():
                found.extend(_problems_of_text(name, place))
                waiting.append((member, f"{place}/{escape(name)}", depth + 1))
        elif isinstance(item, list | tuple):
            waiting.extend((member, f"{place}/{index}", depth + 1) for index, member in enumerate(item))
        else:
            found.extend(_problems_of_scalar(item, place))
    return found


def require_storable(**given: Any) -> None:
    """NotValid, each problem at the name of what was given, where something of it cannot be kept."""
    problems = problems_of(given)
    if problems:
        raise NotValid.because(problems)


def escape(name: object) -> str:
    """A member's name as a token of a JSON pointer (RFC 6901); what could not be shown is replaced."""
    text = str(name).encode("utf-8", "replace").decode().replace("\x00", "\N{REPLACEMENT CHARACTER}")
    return text.replace("~", "~0").replace("/", "~1")


def _problems_of_scalar(item: Any, place: str) -> Iterator[Problem]:
    if isinstance(item, str):
        yield from _problems_of_text(item, place)
    elif isinstance(item, bool) or item is None:
        return
    elif isinstance(item, int):
        if abs(item) > LARGEST_INTEGER:
            yield Problem(
                pointer=place,
                code="integer_too_large",
                detail="Integers past 2^53 are not the same for every reader of JSON.",
                hint="Write it as a string.",
            )
    elif isinstance(item, float):
        if not math.isfinite(item):
            yield Problem(pointer=place, code="not_a_number", detail="NaN and Infinity are no JSON.")
    else:
        yield Problem(pointer=place, code="not_json", detail=f"A {type(item).__name__} is no JSON value.")


def _problems_of_text(text: Any, place: str) -> Iterator[Problem]:
    if not isinstance(text, str):
        yield Problem(pointer=place, code="not_json", detail="Names of members are strings.")
        return
    if "\x00" in text:
        yield Problem(
            pointer=place,
            code="nul_character",
            detail="The text holds a NUL character, which cannot be stored.",
            hint="Remove \\u0000, or encode the bytes as base64.",
        )
    if any("\ud800" <= character <= "\udfff" for character in text):
        yield Problem(
            pointer=place,
            code="lone_surrogate",
            detail="The text holds half of a surrogate pair: no character.",
        )


def _too_deep(place: str) -> Problem:
    # The pointer of the place itself would be as long as the nesting is deep.
    shown = "/".join(place.split("/")[:4])
    return Problem(pointer=shown, code="too_deep", detail=f"Nested more than {DEPTH_LIMIT} levels deep.")
