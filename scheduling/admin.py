"""The console's pages of this app, each defined in the package of its noun."""

from scheduling.agents import admin as agents
from scheduling.agents import operators_admin as operators
from scheduling.audit import admin as audit
from scheduling.backfills import admin as backfills
from scheduling.bulk import admin as bulk
from scheduling.calendars import admin as calendars
from scheduling.console import housekeeping
from scheduling.events import admin as events
from scheduling.queues import admin as queues
from scheduling.runs import admin as runs
from scheduling.schedules import admin as schedules
from scheduling.tasks import admin as tasks

__all__ = [
    "agents",
    "audit",
    "backfills",
    "bulk",
    "calendars",
    "events",
    "housekeeping",
    "operators",
    "queues",
    "runs",
    "schedules",
    "tasks",
]
