"""`manage.py recordfixtures`: a run that has been, as fixtures."""

from typing import Any
from uuid import UUID

import orjson
from django.core.management.base import BaseCommand, CommandError, CommandParser

from pipelines.document import DocumentInvalid
from scheduling.runs.models import Run
from workers.recordings import record_run


class Command(BaseCommand):
    help = (
        "Print the document of a run with its params, and with what its steps have answered as fixtures, to simulate it"
        " again; on stderr what of the run that cannot tell. With --jsonl as a line that `simulate --jsonl` reads,"
        " params, event and the run's instant included."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("run", help="The id of the run.")
        parser.add_argument("--jsonl", action="store_true", help="One line: {document, params, event, now}.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            run = Run.objects.select_related("revision", "event").get(pk=UUID(options["run"]))
            recording = record_run(run)
        except ValueError as error:
            if isinstance(error, DocumentInvalid):
                raise CommandError(f"its document cannot be used on this host: {error}") from error
            raise CommandError(f"{options['run']!r} is no id of a run: a UUID is.") from None
        except Run.DoesNotExist:
            raise CommandError(f"there is no run {options['run']}") from None
        for note in recording.notes:
            self.stderr.write(f"Note: {note}.")
        if options["jsonl"]:
            names = ("document", "params", "event", "now")
            line = {name: getattr(recording, name) for name in names}
            self.stdout.write(orjson.dumps(line).decode())
        else:
            self.stdout.write(orjson.dumps(recording.document, option=orjson.OPT_INDENT_2).decode())
