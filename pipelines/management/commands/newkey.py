"""`manage.py newkey`: a key to encrypt secrets with."""

from typing import Any

from django.core.management.base import BaseCommand

from pipelines.secrets.vault import new_key


class Command(BaseCommand):
    help = (
        "Print a new key for ORDINAUT_ENCRYPTION_KEYS. To change keys: put the new one first, before the old, on every "
        "host; restart; run reencryptsecrets; take the old one away."
    )
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(new_key())
