"""Show when a schedule fires; needs no database."""

import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, BinaryIO

import orjson
from django.core.management.base import BaseCommand, CommandError, CommandParser

from scheduling.core.preview import DEFAULT_COUNT, Preview, answer, parse_request
from scheduling.core.recurrence import ScheduleError

MAX_LINE = 256 * 1024
_OPTIONS = ("kind", "expression", "timezone", "starts_at", "ends_at", "after", "gap", "fold")


class Command(BaseCommand):
    help = "Show the coming occurrences of a schedule, in its local time and in UTC."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--jsonl", action="store_true", help="answer each JSON object of standard input by a line")
        parser.add_argument("--kind", help="cron, rrule, interval or once (or event, condition, after)")
        parser.add_argument("--expression", help="for example '0 8 * * 1-5' or 'FREQ=DAILY;BYHOUR=8'")
        parser.add_argument("--timezone", help="an IANA name, such as Europe/Chisinau (default: UTC)")
        parser.add_argument("--starts-at", help="the anchor, a local time: 2025-01-01T08:00:00")
        parser.add_argument("--ends-at", help="no occurrence comes after this time")
        parser.add_argument("--after", help="show occurrences after this time (default: --starts-at, or now)")
        parser.add_argument("--count", type=int, default=DEFAULT_COUNT, help="how many (default: %(default)s)")
        parser.add_argument("--exdate", action="append", default=[], help="a local time left out; may be repeated")
        parser.add_argument("--rdate", action="append", default=[], help="a local time added; may be repeated")
        parser.add_argument("--gap", help="shift, next or skip: a local time that clocks going forward leave out")
        parser.add_argument("--fold", help="first, second or both: a local time that clocks going back repeat")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["jsonl"]:
            for line in answer_lines(read_lines(sys.stdin.buffer)):
                self.stdout.write(line)
                self.stdout.flush()
            return
        given = {name: options[name] for name in _OPTIONS}
        given |= {"count": options["count"], "exdates": options["exdate"], "rdates": options["rdate"]}
        try:
            shown = answer(parse_request(given), datetime.now(UTC))
        except ScheduleError as error:
            hint = f"\n{error.hint_sentence}" if error.hint else ""
            raise CommandError(f"{error.field}: {error.detail}.{hint}") from None
        self._print(shown)

    def _print(self, shown: Preview) -> None:
        self.stdout.write(shown.sentence)
        for occurrence in shown.next:
            self.stdout.write(f"  {occurrence.local}  {occurrence.utc}")
        for note in shown.notes:
            self.stdout.write(f"Note: {note}")


def read_lines(stream: BinaryIO) -> Iterator[bytes]:
    """The stream's lines, each cut one byte past `MAX_LINE`; the rest of a longer one is passed over."""
    while line := stream.readline(MAX_LINE + 1):
        yield line
        while len(line) > MAX_LINE and not line.endswith(b"\n"):
            line = stream.readline(MAX_LINE + 1)
            if not line:
                return


def answer_lines(lines: Iterable[bytes]) -> Iterator[str]:
    """One line of JSON for each line: `{"next": [...]}` in local time, or `{"error": {...}}`."""
    for line in lines:
        yield orjson.dumps(answer_line(line)).decode()


def answer_line(line: bytes) -> dict[str, Any]:
    if len(line) > MAX_LINE:
        return _error("invalid_json", f"The line is longer than {MAX_LINE} bytes")
    try:
        given = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return _error("invalid_json", f"The line is not JSON: {error}")
    if not isinstance(given, dict):
        return _error("invalid_json", "The line is not a JSON object")
    try:
        shown = answer(parse_request(given), datetime.now(UTC))
    except ScheduleError as error:
        return _error(error.code, error.detail, field=error.field, hint=error.hint)
    return {"next": [occurrence.local for occurrence in shown.next]}


def _error(code: str, detail: str, **more: str | None) -> dict[str, Any]:
    return {"error": {"code": code, "detail": detail, **{name: value for name, value in more.items() if value}}}
