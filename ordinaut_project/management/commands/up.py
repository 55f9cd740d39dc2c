"""`manage.py up`: everything on one machine, without installing a server."""

import signal
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from ordinaut_project.embedded.binaries import EmbeddedError
from ordinaut_project.embedded.stack import Stack, UpOptions
from scheduling.management.options import between
from workers.supervisor import die_with_parent


class Command(BaseCommand):
    help = "Start PostgreSQL, Valkey, web, clock and workers here, load an example and run it. Ctrl-C stops all."
    # Everything it needs is checked by itself, or by the services it starts.
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
        parser.add_argument(
            "--port", type=between(1, 65_535), default=8080, help="port of console and API (default: %(default)s)"
        )
        parser.add_argument(
            "--data-dir", type=Path, default=settings.STATE_DIR, help="where everything lies (default: .ordinaut)"
        )
        parser.add_argument("--workers", type=between(1, 64), default=1, help="worker processes (default: %(default)s)")
        parser.add_argument("--reset", action="store_true", help="begin anew: data, mail and log-in are removed first")
        parser.add_argument("--no-examples", dest="examples", action="store_false", help="load no example tasks")
        parser.add_argument("--stop-with-parent", action="store_true", help="stop when the calling process ends")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["stop_with_parent"]:
            die_with_parent(signal.SIGTERM)
        up_options = UpOptions(
            host=options["host"],
            port=options["port"],
            data_dir=options["data_dir"],
            workers=options["workers"],
            reset=options["reset"],
            examples=options["examples"],
        )
        try:
            exit_code = Stack(up_options, say=self._say).run()
        except EmbeddedError as error:
            raise CommandError(str(error)) from error
        if exit_code != 0:
            raise SystemExit(exit_code)

    def _say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()
