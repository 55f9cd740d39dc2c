"""Check a document; needs no database."""

import sys
from collections.abc import Sequence
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from pipelines.document import DocumentInvalid, Problem, Severity, has_errors, validate
from pipelines.management.inputs import UNUSABLE, read_document
from pipelines.tools.registry import catalog


class Command(BaseCommand):
    help = "Check a pipeline document, in JSON or YAML, and print every problem. Exits 2 where it is invalid."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file")

    def handle(self, *args: Any, **options: Any) -> None:
        problems = _problems(options["file"])
        for problem in problems:
            self.stdout.write(_line(problem))
        if has_errors(problems):
            sys.exit(UNUSABLE)
        self.stdout.write("The document is valid.")


def _problems(path: str) -> Sequence[Problem]:
    try:
        return validate(read_document(path), catalog=catalog(), accepts_fixtures=True)
    except DocumentInvalid as error:
        return error.problems


def _line(problem: Problem) -> str:
    word = "warning: " if problem.severity is Severity.WARNING else ""
    hint = f" ({problem.hint})" if problem.hint else ""
    return f"{problem.pointer or '/'}: {word}{problem.code}: {problem.detail}{hint}"
