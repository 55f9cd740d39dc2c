"""Evaluate an expression; needs no database."""

import sys
from typing import Any

import orjson
from django.core.management.base import BaseCommand, CommandError, CommandParser

from pipelines.expressions import ExpressionError, compile_expression, compile_template
from pipelines.management.inputs import UNUSABLE, read_object
from pipelines.management.lines import LineRefused, answer_lines, error_answer, read_lines, refuse_unknown


class Command(BaseCommand):
    help = "Evaluate an expression, or a text with ${expressions} in it, over a context."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("expression", nargs="?", help="for example 'length(steps.events.items)'")
        parser.add_argument("--context", help="a JSON object (default: {})")
        parser.add_argument("--strict", action="store_true", help="exactly JMESPath, without our additions")
        parser.add_argument(
            "--jsonl",
            action="store_true",
            help='answer each line of stdin, {"expression", "context", "strict"}',
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["jsonl"]:
            for line in answer_lines(read_lines(sys.stdin.buffer), answer):
                self.stdout.write(line)
                self.stdout.flush()
            return
        if options["expression"] is None:
            raise CommandError("give an expression, or --jsonl", returncode=UNUSABLE)
        context = read_object(options["context"], "--context") or {}
        answered = evaluate(options["expression"], context, strict=options["strict"])
        if "error" in answered:
            error = answered["error"]
            hint = f"\n{error['hint']}" if "hint" in error else ""
            raise CommandError(f"{error['code']}: {error['detail']}{hint}")
        self.stdout.write(orjson.dumps(answered["result"], option=orjson.OPT_INDENT_2).decode())


def answer(given: dict[str, Any]) -> dict[str, Any]:
    """The answer to one line."""
    refuse_unknown(given, known=("expression", "context", "strict"))
    expression, strict = given.get("expression"), given.get("strict", False)
    if not isinstance(expression, str) or not isinstance(strict, bool):
        raise LineRefused('the line needs "expression", a string, and may have "strict", a boolean')
    return evaluate(expression, given.get("context", {}), strict=strict)


def evaluate(text: str, context: Any, *, strict: bool) -> dict[str, Any]:
    """`{"result": ...}` or `{"error": {...}}`; in strict mode errors have the names of the JMESPath specification."""
    try:
        # Bare JMESPath never begins so; text with expressions in it is no strict JMESPath either.
        if "${" in text and not strict and not _is_bare(text):
            value = compile_template(text).render(context)
        else:
            value = compile_expression(text, strict=strict).evaluate(context)
        orjson.dumps(value)
    except ExpressionError as error:
        code = (error.specification_name if strict else None) or error.code
        return error_answer(code, error.detail, position=error.position, hint=error.hint)
    except TypeError as error:
        return error_answer("unusable_value", f"the result has no JSON form: {error}")
    return {"result": value}


def _is_bare(text: str) -> bool:
    """Whether the text is an expression as it stands, `${` being inside a literal of it."""
    try:
        compile_expression(text)
    except ExpressionError:
        return False
    return True
