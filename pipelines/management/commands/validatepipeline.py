"""Check a document; needs no database, and so cannot look for its secrets."""

import sys
from collections.abc import Sequence
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from pipelines.document import DocumentInvalid, Problem, Severity, compile_document, has_errors, validate
from pipelines.document.nodes import ToolBody, walk
from pipelines.management.inputs import UNUSABLE, read_document
from pipelines.tools.registry import catalog


class Command(BaseCommand):
    help = "Check a pipeline document, in JSON or YAML, and print every problem. Exits 2 where it is invalid."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file")

    def handle(self, *args: Any, **options: Any) -> None:
        document: Any = None
        problems: Sequence[Problem]
        try:
            document = read_document(options["file"])
            problems = validate(document, catalog=catalog(), accepts_fixtures=True)
        except DocumentInvalid as error:
            problems = error.problems
        for problem in problems:
            self.stdout.write(_line(problem))
        if has_errors(problems):
            sys.exit(UNUSABLE)
        self.stdout.write("The document is valid.")
        if secrets := _secrets(document):
            self.stdout.write(f"Secrets are checked when it is saved: {', '.join(secrets)}.")


def _secrets(document: Any) -> list[str]:
    """The secrets that a valid document names, in order. Whether they exist, only the database knows."""
    pipeline = compile_document(document, catalog=catalog(), accepts_fixtures=True)
    sections = (pipeline.steps, pipeline.on_error, pipeline.last)
    calls = (step.body for steps in sections for step in walk(steps) if isinstance(step.body, ToolBody))
    return sorted({name for call in calls for name in call.given.secrets})


def _line(problem: Problem) -> str:
    word = "warning: " if problem.severity is Severity.WARNING else ""
    hint = f" ({problem.hint})" if problem.hint else ""
    return f"{problem.pointer or '/'}: {word}{problem.code}: {problem.detail}{hint}"
