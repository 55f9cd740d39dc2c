"""Commands that answer each line of standard input, one JSON object, by a line of JSON."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, BinaryIO

import orjson

MAX_LINE = 4 * 1024 * 1024

Answer = dict[str, Any]


class LineRefused(ValueError):  # a statement about the line
    """The line is no JSON object of the form that is asked for."""


def refuse_unknown(given: Mapping[str, Any], *, known: Sequence[str]) -> None:
    """Raises LineRefused for a field that nothing would read, with what may have been meant."""
    for name in given:
        if name not in known:
            meant = get_close_matches(name, known, n=1)
            hint = f'; did you mean "{meant[0]}"?' if meant else f"; known are {', '.join(known)}"
            raise LineRefused(f'"{name}" is no field of a line{hint}')


def read_lines(stream: BinaryIO) -> Iterator[bytes]:
    """The stream's lines, each cut one byte past `MAX_LINE`; the rest of a longer one is passed over."""
    while line := stream.readline(MAX_LINE + 1):
        yield line
        while len(line) > MAX_LINE and not line.endswith(b"\n"):
            line = stream.readline(MAX_LINE + 1)
            if not line:
                return


def answer_lines(lines: Iterable[bytes], answer: Callable[[dict[str, Any]], Answer]) -> Iterator[str]:
    """One line of JSON for each line that is not blank; a line that is no object is answered by an error."""
    for line in lines:
        if line.strip():
            yield orjson.dumps(_answer(line, answer)).decode()


def error_answer(code: str, detail: str, **more: Any) -> Answer:
    """`{"error": {"code", "detail", ...}}`, without what is None."""
    return {
        "error": {"code": code, "detail": detail, **{key: value for key, value in more.items() if value is not None}}
    }


def _answer(line: bytes, answer: Callable[[dict[str, Any]], Answer]) -> Answer:
    if len(line) > MAX_LINE:
        return error_answer("malformed", f"the line is longer than {MAX_LINE} bytes")
    try:
        given = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return error_answer("malformed", f"the line is not JSON: {error}")
    if not isinstance(given, dict):
        return error_answer("malformed", "the line is not a JSON object")
    try:
        return answer(given)
    except LineRefused as error:
        return error_answer("malformed", str(error))
