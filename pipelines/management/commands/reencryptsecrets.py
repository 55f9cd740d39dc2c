"""`manage.py reencryptsecrets`: encrypt every secret by the first of the keys."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from pipelines.secrets import operations
from scheduling.audit.operations import Actor
from scheduling.errors import SchedulingError


class Command(BaseCommand):
    help = "Encrypt every secret by the first key of ORDINAUT_ENCRYPTION_KEYS; the keys after it may go then."

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            done, failures = operations.reencrypt(actor=Actor.system("reencryptsecrets"))
        except SchedulingError as error:
            raise CommandError(f"{error.detail} {error.hint or ''}".strip()) from error
        self.stdout.write(f"{done} secrets are encrypted by the first key now.")
        if failures:
            raise CommandError("These could not be read, and are as they were:\n" + "\n".join(failures))
