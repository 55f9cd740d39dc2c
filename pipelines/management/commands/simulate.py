"""Simulate a document; needs no database and sends nothing."""

import sys
from datetime import datetime
from typing import Any

import orjson
from django.core.management.base import BaseCommand, CommandError, CommandParser

from pipelines.document import DocumentInvalid
from pipelines.document.moments import read_instant
from pipelines.errors import ErrorClass, PipelineError
from pipelines.management.inputs import UNUSABLE, read_document, read_duration, read_object
from pipelines.management.limits import limit_process
from pipelines.management.lines import LineRefused, answer_lines, read_lines
from pipelines.management.simulation_lines import FIELDS, answer, invalid_answer
from pipelines.simulation import ended_as_wanted, simulate
from pipelines.tools.registry import catalog


class Command(BaseCommand):
    help = (
        "Run a pipeline document in virtual time with simulated tools and show every step. Exits 0 where it ended as "
        "it should and every assert holds, 1 where not, 2 where the document is invalid."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", nargs="?")
        parser.add_argument("--params", help="a JSON object, laid over the document's defaults")
        parser.add_argument("--event", help="a JSON object: the event that starts the run")
        parser.add_argument("--cancel-at", help="an ISO 8601 duration: cancel the run then")
        parser.add_argument("--now", help="an ISO 8601 instant: the run's own (default: the present)")
        parser.add_argument(
            "--expressions", action="store_true", help="show what each step evaluated, and what it gave"
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object")
        parser.add_argument(
            "--jsonl",
            action="store_true",
            help="answer each line of standard input, an object of " + ", ".join(FIELDS),
        )
        parser.add_argument("--seconds", type=int, help="end this process after so many seconds")
        parser.add_argument("--memory", type=int, help="MiB of address space that this process may map")

    def handle(self, *args: Any, **options: Any) -> None:
        limit_process(seconds=options["seconds"], mebibytes=options["memory"])
        if options["jsonl"]:
            for line in answer_lines(read_lines(sys.stdin.buffer), self._answer):
                self.stdout.write(line)
                self.stdout.flush()
            return
        if options["file"] is None:
            raise CommandError("give a file, or --jsonl", returncode=UNUSABLE)
        answered = _simulate_file(options)
        if options["json"]:
            self.stdout.write(orjson.dumps(answered, option=orjson.OPT_INDENT_2).decode())
        else:
            self.stdout.write("\n".join(_lines(answered)))
        if answered["state"] == "invalid":
            sys.exit(UNUSABLE)
        if not ended_as_wanted(answered, cancel_at=read_duration(options["cancel_at"], "--cancel-at")):
            sys.exit(1)

    def _answer(self, given: dict[str, Any]) -> dict[str, Any]:
        """The answer to one line, whatever happens inside: those that come after it are answered too."""
        try:
            return answer(given)
        except LineRefused:
            raise
        except Exception as error:  # noqa: BLE001 # whatever it is, the next line is answered
            self.stderr.write(f"a line could not be simulated: {type(error).__name__}: {error}")
            return _internal(error)


def _simulate_file(options: dict[str, Any]) -> dict[str, Any]:
    params = read_object(options["params"], "--params")
    event = read_object(options["event"], "--event")
    cancel_at = read_duration(options["cancel_at"], "--cancel-at")
    now = _instant(options["now"])
    try:
        document = read_document(options["file"])
        return simulate(
            document,
            params=params,
            event=event,
            cancel_at=cancel_at,
            catalog=catalog(),
            now=now,
            expressions=options["expressions"],
        )
    except DocumentInvalid as error:
        return invalid_answer(error)


def _instant(text: str | None) -> datetime | None:
    try:
        return None if text is None else read_instant(text)
    except ValueError as error:
        raise CommandError(f"--now: {error}", returncode=UNUSABLE) from error


def _internal(error: Exception) -> dict[str, Any]:
    told = PipelineError("internal_error", ErrorClass.INTERNAL, f"{type(error).__name__}: {error}")
    return {"state": "failed", "outputs": {}, "error": told.as_dict(), "steps": [], "asserts": []}


def _lines(answered: dict[str, Any]) -> list[str]:
    if answered["state"] == "invalid":
        return [_problem_line(problem) for problem in answered["problems"]]
    lines = [line for step in answered["steps"] for line in (_step_line(step), *_expression_lines(step))]
    lines.append(f"The run ended: {answered['state']}.")
    if answered["error"] is not None:
        lines.append(f"  {answered['error']['code']}: {answered['error']['detail']}")
    if answered["outputs"]:
        lines.append(f"  outputs: {orjson.dumps(answered['outputs']).decode()}")
    lines += _expression_lines(answered)
    return lines + [
        f"  assert {'holds' if each['ok'] else 'FAILS'}: {each['expression']}" for each in answered["asserts"]
    ]


def _step_line(step: dict[str, Any]) -> str:
    tool = f" ({step['uses']})" if step["uses"] else ""
    marks = "".join(f" [{mark}]" for mark in ("simulated", "tolerated") if step.get(mark))
    attempt = f" attempt {step['attempt']}" if step["attempt"] > 1 else ""
    error = f": {step['error']['code']}: {step['error']['detail']}" if step["error"] else ""
    return f"{step['at']:>10}  {step['state']:<11} {step['path']}{tool}{attempt}{marks}{error}"


def _expression_lines(shown: dict[str, Any]) -> list[str]:
    lines = []
    for each in shown.get("expressions", ()):
        if "omitted" in each:
            lines.append(f"{'':>12}and {each['omitted']} more")
        else:
            came_of_it = each["error"] if "error" in each else orjson.dumps(each["value"]).decode()
            lines.append(f"{'':>12}{each['expression']}  =>  {came_of_it}")
    return lines


def _problem_line(problem: dict[str, Any]) -> str:
    hint = f" ({problem['hint']})" if problem["hint"] else ""
    return f"{problem['pointer'] or '/'}: {problem['severity']}: {problem['code']}: {problem['detail']}{hint}"
