"""`manage.py runscheduler`: a clock process."""

import signal
from functools import partial
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import Error
from django.utils import timezone

from scheduling.checks import OURS, require_service_settings
from scheduling.clock.firing import DEFAULT_BATCH
from scheduling.clock.housekeeping import make_scheduler, show_jobs, start_over
from scheduling.clock.loop import Clock
from scheduling.clock.points import arm
from scheduling.management.options import between, start_probe

_LARGEST_BATCH = 100_000


class Command(BaseCommand):
    requires_system_checks = (OURS,)
    help = "Fire due schedules, and keep house. Run one or more, on any hosts: none leads."

    def add_arguments(self, parser: CommandParser) -> None:
        most = f"Schedules a pass takes at most ({DEFAULT_BATCH})."
        parser.add_argument("--batch", type=between(1, _LARGEST_BATCH), default=DEFAULT_BATCH, help=most)
        parser.add_argument("--probe-host", default="127.0.0.1", help="Address of the probe port (127.0.0.1).")
        parser.add_argument("--probe-port", type=int, help="Serve /livez, /readyz and /metrics there.")
        parser.add_argument("--no-housekeeping", action="store_true", help="Fire only; leave the house to others.")

    def handle(self, *args: Any, **options: Any) -> None:
        require_service_settings()
        arm()
        scheduler = None if options["no_housekeeping"] else make_scheduler()
        clock = Clock(
            batch=options["batch"], on_jump_back=None if scheduler is None else partial(start_over, scheduler)
        )
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: clock.stop())
        probe = None
        if options["probe_port"] is not None:
            probe = start_probe(
                host=options["probe_host"], port=options["probe_port"], readiness=clock.readiness.answer
            )
        if scheduler is not None:
            scheduler.start()
            try:
                show_jobs(now=timezone.now())
            except Error as error:  # away, read-only, or another release's: the console can wait, the clock cannot
                self.stderr.write(f"the jobs are not shown in the console yet: {error}")
        try:
            clock.run()
        finally:
            if scheduler is not None:
                scheduler.shutdown(wait=False)
            if probe is not None:
                probe.stop()
