"""`manage.py prune`: what retention does by itself, now and to the end."""

import asyncio
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from workers.connection import Database, DatabaseUnavailable, conninfo
from workers.retention.kinds import KINDS
from workers.retention.turns import STATEMENT_LIMIT, Retention, Turn, mortal_kinds


class Command(BaseCommand):
    help = (
        "Delete what has been kept long enough, in small batches, until nothing is left. Worker hosts do the same by "
        "themselves, a little a minute; this is for the first time, and to see what a setting would delete."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--kind", action="append", choices=sorted(KINDS), help="Only this kind; may be given more than once."
        )
        parser.add_argument("--dry-run", action="store_true", help="Count what would be deleted, and delete nothing.")

    def handle(self, *args: Any, **options: Any) -> None:
        asked = options["kind"] or list(KINDS)
        mortal = mortal_kinds()
        wanted = [name for name in KINDS if name in asked and name in mortal]
        try:
            turn = asyncio.run(_prune(wanted, is_dry=options["dry_run"]))
        except DatabaseUnavailable as error:
            raise CommandError(f"the database cannot be reached: {error}") from None
        for name in (name for name in KINDS if name in asked):
            self.stdout.write(f"{name:<12} {f'{turn.deleted[name]:,}' if name in mortal else 'kept for ever'}")
        for name, why in turn.failed.items():
            self.stderr.write(f"{name}: {why}")
        if turn.failed:
            raise CommandError(f"the database refuses to delete of {', '.join(turn.failed)}")
        if turn.elsewhere:
            raise CommandError(
                f"another host has been deleting of {', '.join(turn.elsewhere)} all the while; try again"
            )
        if options["dry_run"]:
            self.stdout.write("Nothing was deleted. What is deleted may free more: events and results of deleted runs.")


async def _prune(names: list[str], *, is_dry: bool) -> Turn:
    """What was deleted or would be, and which kinds could not be."""
    database = Database(name="ordinaut prune", address=conninfo(), limit=STATEMENT_LIMIT)
    try:
        retention = Retention(database)
        if is_dry:
            return Turn(await retention.preview(names), 0.0, is_over=True)
        return await retention.lap(names)
    finally:
        await database.close()
