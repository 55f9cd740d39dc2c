"""Storage of results: JSON text out of line and uncompressed (see the same migration of scheduling)."""

from django.db import migrations

COLUMNS = ("input", "output", "error")
SET_STORAGE = "".join(f"ALTER TABLE workers_steprun ALTER COLUMN {column} SET STORAGE EXTERNAL;" for column in COLUMNS)
RESET_STORAGE = SET_STORAGE.replace("EXTERNAL", "EXTENDED")


class Migration(migrations.Migration):
    dependencies = [("workers", "0001_initial")]

    operations = [migrations.RunSQL(SET_STORAGE, RESET_STORAGE)]
