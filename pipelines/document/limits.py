"""Bounds of a document."""

from datetime import timedelta
from typing import Final

MAX_BYTES: Final = 1024 * 1024
MAX_DEPTH: Final = 64

# Values after every alias has been followed; a few nested aliases can stand for billions.
MAX_VALUES: Final = 100_000

MAX_STEPS_WRITTEN: Final = 1_000

# Steps that one run may start, containers included; a document may lower it.
MAX_STEPS_STARTED: Final = 10_000

# Iterations or branches of one step that run at a time.
MAX_CONCURRENCY: Final = 50

# Attempts of one step in one attempt of the run.
MAX_ATTEMPTS: Final = 100

# Encoded size of one result, and of all results of a run.
MAX_RESULT_BYTES: Final = 16 * 1024 * 1024
MAX_RUN_BYTES: Final = 64 * 1024 * 1024

# From the start of a wait to its end.
MAX_WAIT: Final = timedelta(days=3660)

# Characters of what an approval shows.
MAX_QUESTION: Final = {"title": 200, "detail": 10_000}

# Encoded size of what is kept of a run for the filter of an event that it waits for.
MAX_SNAPSHOT_BYTES: Final = 64 * 1024

# Encoded size of an approval's form.
MAX_FORM_BYTES: Final = 16 * 1024

# Characters of a step's path in the journal.
MAX_PATH: Final = 400
