"""`manage.py queue pause|resume|show NAME`: operate a queue from a terminal."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from scheduling.audit.operations import Actor
from scheduling.definitions.durations import parse_duration
from scheduling.definitions.strict import parse
from scheduling.errors import SchedulingError
from scheduling.instants import database_now
from scheduling.queues import operations
from scheduling.queues.definition import QueuePause
from scheduling.queues.selectors import queue_state, require_known
from scheduling.queues.shapes import QueueShape


class Command(BaseCommand):
    help = "Pause or resume a queue, or show what waits in it and how it is operated."

    def add_arguments(self, parser: ArgumentParser) -> None:
        deeds = parser.add_subparsers(dest="deed", required=True, metavar="pause|resume|show")
        pause = deeds.add_parser("pause", help="Start nothing more of it; what workers hold is finished.")
        pause.add_argument("name")
        pause.add_argument("--reason", default="", help="Why; shown wherever the queue is.")
        end = pause.add_mutually_exclusive_group()
        end.add_argument("--until", help="Resumes by itself at this instant, such as 2026-03-29T08:00:00Z.")
        end.add_argument("--for", dest="span", help="Resumes by itself after this, such as PT30M.")
        deeds.add_parser("resume", help="Let its work be claimed again.").add_argument("name")
        deeds.add_parser("show", help="Print it as JSON.").add_argument("name")

    def handle(self, *args: Any, **options: Any) -> None:
        name, actor = options["name"], Actor.system("queue")
        try:
            require_known(name)
            match options["deed"]:
                case "pause":
                    self._pause(actor, name, options)
                case "resume":
                    operations.resume_queue(actor=actor, name=name)
                    self.stdout.write(f"{name} is resumed.")
                case "show":
                    self.stdout.write(json.dumps(QueueShape(queue_state(name)).data, indent=2))
        except SchedulingError as error:
            raise CommandError(f"{error.detail} {error.hint or ''}".strip()) from error

    def _pause(self, actor: Actor, name: str, options: dict[str, Any]) -> None:
        given = parse(QueuePause, {"reason": options["reason"], "until": options["until"]})
        until = given["until"]
        if options["span"] is not None:
            try:
                until = database_now() + parse_duration(options["span"])
            except ValueError as error:
                raise CommandError(f"--for: {error}") from error
            except OverflowError:
                raise CommandError(f"--for: {options['span']} ends beyond the last year that there is") from None
        operations.pause_queue(actor=actor, name=name, reason=given["reason"], until=until)
        end = "until it is resumed" if until is None else f"until {until:%Y-%m-%d %H:%M:%S} UTC"
        self.stdout.write(f"{name} is paused {end}. What workers hold is finished.")
