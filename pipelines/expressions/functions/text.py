"""Strings."""

from pipelines.expressions.functions.arithmetic import round_half_away
from pipelines.expressions.functions.registry import bad_argument, function
from pipelines.expressions.metering import Meter
from pipelines.expressions.values import to_text

_MAX_WIDTH = 10_000


@function("upper(text: string) -> string", ("upper('abc')", "ABC"))
def upper(text: str) -> str:
    """In capitals."""
    return text.upper()


@function("lower(text: string) -> string", ("lower('ABC')", "abc"))
def lower(text: str) -> str:
    """In small letters."""
    return text.lower()


@function("trim(text: string, characters?: string) -> string", ("trim('  a ')", "a"), ("trim('--a-', '-')", "a"))
def trim(text: str, characters: str | None = None) -> str:
    """Without the white space, or without those characters, at both ends."""
    return text.strip(characters)


@function(
    "split(text: string, separator?: string, limit?: number) -> array",
    ("split('a,b,c', ',')", ["a", "b", "c"]),
    ("split('a,b,c', ',', 1)", ["a", "b,c"]),
    ("split(' a  b ')", ["a", "b"]),
    metered=True,
)
def split(meter: Meter, text: str, separator: str | None = None, limit: float = -1) -> list[str]:
    """The parts between the separators, at most `limit` times split; without a separator, the words."""
    if separator == "":
        raise bad_argument("split() takes a separator that is not empty", hint="without one it splits into words")
    parts = text.split(separator, _whole(limit, "split"))
    meter.spend(len(parts))
    return parts


@function(
    "replace(text: string, old: string, new: string) -> string", ("replace('a-b-c', '-', '+')", "a+b+c"), metered=True
)
def replace(meter: Meter, text: str, old: str, new: str) -> str:
    """With each `old` replaced by `new`."""
    if not old:
        raise bad_argument("replace() takes a text to look for that is not empty")
    meter.spend_text(len(text) + text.count(old) * max(0, len(new) - len(old)))
    return text.replace(old, new)


@function(
    "substring(text: string, start: number, end?: number) -> string",
    ("substring('briefing', 0, 5)", "brief"),
    ("substring('briefing', -3)", "ing"),
)
def substring(text: str, start: float, end: float | None = None) -> str:
    """The characters from `start` up to, not including, `end` (default: to the end); negative counts from the end."""
    return text[_whole(start, "substring") : None if end is None else _whole(end, "substring")]


@function(
    "pad(value: string | number, width: number, fill?: string, side?: string) -> string",
    ("pad(7, 3, '0')", "007"),
    ("pad('a', 3, '.', 'right')", "a.."),
)
def pad(value: str | float, width: float, fill: str = " ", side: str = "left") -> str:
    """Filled up to `width` characters (at most 10,000) with `fill` (default a blank) on the `left` or `right`."""
    text, columns = to_text(value), _whole(width, "pad")
    if columns > _MAX_WIDTH:
        raise bad_argument(f"pad() fills to at most {_MAX_WIDTH} characters")
    if len(fill) != 1:
        raise bad_argument("pad() fills with one character")
    if side not in ("left", "right"):
        raise bad_argument("pad() fills the side 'left' or 'right'")
    return text.rjust(columns, fill) if side == "left" else text.ljust(columns, fill)


@function(
    "format_number(value: number, digits?: number, thousands?: string, point?: string) -> string",
    ("format_number(1234.5, 2)", "1,234.50"),
    ("format_number(1234567)", "1,234,567"),
    ("format_number(1234.5, 1, ' ', ',')", "1 234,5"),
)
def format_number(value: float, digits: float = 0, thousands: str = ",", point: str = ".") -> str:
    """With that many decimal places (default 0), halves away from zero, and marks for thousands and decimals."""
    plain = f"{round_half_away(value, digits):,.{int(digits)}f}"
    return "".join({",": thousands, ".": point}.get(character, character) for character in plain)


def _whole(number: float, name: str) -> int:
    if number != int(number):
        raise bad_argument(f"{name}() takes whole numbers")
    return int(number)
