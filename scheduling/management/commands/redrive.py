"""`manage.py redrive`: queue failed runs again."""

import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from scheduling.audit.operations import Actor
from scheduling.bulk.models import BulkOperation, BulkState
from scheduling.bulk.operations import RedrivePreview, carry_on, create_redrive, preview_redrive
from scheduling.errors import SchedulingError

_IS_SIMULATED = {"yes": True, "no": False}
_FILTERS = ("task", "queue", "cause", "code", "failed_after", "failed_before")


def _counted(preview: RedrivePreview) -> str:
    more = " (the oldest of more)" if preview.is_more else ""
    return f"{preview.count} failed runs match{more}, {preview.simulated_count or 'none'} of them simulated."


class Command(BaseCommand):
    help = (
        "Queue failed runs again; they go on where they failed. Without a filter: all of them. Without --yes they are "
        "counted only. The batches are carried out here, and by clocks that run; Ctrl-C leaves the rest to those."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--task", help="Only runs of this task (its id).")
        parser.add_argument("--queue", help="Only runs whose task has this queue.")
        parser.add_argument("--cause", help="Only this cause: exhausted, permanent, quarantined, deadline, in_doubt.")
        parser.add_argument("--code", help="Only this error code.")
        parser.add_argument("--simulated", choices=_IS_SIMULATED, help="yes: only simulated runs; no: none of them.")
        parser.add_argument("--failed-after", help="From this instant on, such as 2026-03-01T08:00:00Z.")
        parser.add_argument("--failed-before", help="Before this instant.")
        chosen = parser.add_mutually_exclusive_group()
        chosen.add_argument("--yes", action="store_true", help="Queue them; without it they are counted and shown.")
        chosen.add_argument("--dry-run", action="store_true", help="Count, show the oldest, and change nothing.")

    def handle(self, *args: Any, **options: Any) -> None:
        given = {name: options[name] for name in _FILTERS if options[name] is not None}
        if options["simulated"] is not None:
            given["simulated"] = _IS_SIMULATED[options["simulated"]]
        try:
            preview = preview_redrive(agent=None, given=given)
            self.stdout.write(_counted(preview))
            if not (options["yes"] and preview.count):
                for run in preview.sample:
                    self.stdout.write(f"  {run.pk} {run.task.key} {run.cause}{' (simulated)' if run.simulated else ''}")
                if preview.count and not options["dry_run"]:
                    self.stdout.write("Nothing was changed. Say --yes to queue them again.")
                return
            operation = create_redrive(
                actor=Actor.system("redrive"), agent=None, given=given, expected_count=preview.count
            )
        except SchedulingError as refusal:
            raise CommandError(f"{refusal.detail} {refusal.hint or ''}".strip()) from None
        self._follow(operation)

    def _follow(self, operation: BulkOperation) -> None:
        while operation.state == BulkState.RUNNING:
            if not carry_on():
                time.sleep(0.2)  # a clock has it in hand
            operation.refresh_from_db()
        self.stdout.write(f"{operation.done_count} redriven, {operation.skipped_count} left out: {operation.state}.")
        if operation.state == BulkState.FAILED:
            raise CommandError(operation.state_reason)
