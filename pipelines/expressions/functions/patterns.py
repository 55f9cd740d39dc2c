r"""Regular expressions in linear time (RE2: no back-references, no look-around).

https://github.com/google/re2/wiki/Syntax
"""

import re
from functools import lru_cache
from typing import Any

import re2

from pipelines.expressions.functions.registry import bad_argument, function
from pipelines.expressions.metering import Meter

_MAX_PATTERN = 1_000
_REFERENCE = re.compile(r"\\(\\|[0-9])")


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> Any:
    if len(pattern) > _MAX_PATTERN:
        raise bad_argument(f"a pattern may be at most {_MAX_PATTERN} characters long")
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0].decode() if isinstance(error.args[0], bytes) else error.args[0]
        raise bad_argument(
            f"{pattern!r} is no pattern: {reason}", hint="back-references and look-around are not supported"
        ) from error


_LITERALS = {"pattern": _compiled}


@function(
    "regex_match(text: string, pattern: string) -> boolean",
    ("regex_match('order-17', '^order-[0-9]+$')", True),
    ("regex_match('an order', 'order')", True),
    literals=_LITERALS,
)
def regex_match(text: str, pattern: str) -> bool:
    """Whether the pattern is found anywhere in the text; `^` and `$` tie it to the ends."""
    return _compiled(pattern).search(text) is not None


@function(
    "regex_extract(text: string, pattern: string, group?: number) -> string",
    ("regex_extract('order-17', 'order-([0-9]+)')", "17"),
    ("regex_extract('order-17', '[0-9]+')", "17"),
    ("regex_extract('order-17', 'invoice')", None),
    literals=_LITERALS,
)
def regex_extract(text: str, pattern: str, group: float | None = None) -> str | None:
    """The first match's group of that number, 0 being the whole match; null without a match.

    Without a number: the first group where the pattern has one, else the whole match.
    """
    compiled = _compiled(pattern)
    wanted = min(compiled.groups, 1) if group is None else group
    if wanted not in range(compiled.groups + 1):
        raise bad_argument(f"regex_extract(): the pattern has {compiled.groups} groups")
    match = compiled.search(text)
    return None if match is None else match.group(int(wanted))


@function(
    "regex_replace(text: string, pattern: string, replacement: string) -> string",
    ("regex_replace('a1b22', '[0-9]+', '#')", "a#b#"),
    (r"regex_replace('Doe, Jane', '(\w+), (\w+)', '\2 \1')", "Jane Doe"),
    metered=True,
    literals=_LITERALS,
)
def regex_replace(meter: Meter, text: str, pattern: str, replacement: str) -> str:
    r"""With each match replaced; `\1` stands for the first group, `\0` for the match, `\\` for a backslash."""
    compiled = _compiled(pattern)
    pieces = _replacement_pieces(replacement, compiled.groups)
    done: list[str] = []
    written = end = 0
    for match in compiled.finditer(text):
        grown = [text[end : match.start()], *(_expand(piece, match) for piece in pieces)]
        done += grown
        end = match.end()
        written += sum(map(len, grown))
        meter.spend(_COST_OF_A_PIECE * (1 + len(pieces)))
        meter.spend_text(written if written > len(text) else 0)
    done.append(text[end:])
    return "".join(done)


# In fuel: a match, and each piece that is put in its place, cost a microsecond.
_COST_OF_A_PIECE = 3


def _replacement_pieces(replacement: str, groups: int) -> list[str | int]:
    """Texts, and numbers of groups."""
    pieces: list[str | int] = []
    end = 0
    for match in _REFERENCE.finditer(replacement):
        pieces.append(replacement[end : match.start()])
        pieces.append("\\" if match[1] == "\\" else int(match[1]))
        end = match.end()
    pieces.append(replacement[end:])
    if any(isinstance(piece, int) and piece > groups for piece in pieces):
        raise bad_argument(f"regex_replace(): the pattern has {groups} groups")
    return [piece for piece in pieces if piece != ""]


def _expand(piece: str | int, match: Any) -> str:
    return piece if isinstance(piece, str) else match.group(piece) or ""
