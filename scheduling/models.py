"""The models of the app, each defined in the package of its noun."""

from scheduling.agents.models import Agent, AgentToken, Operator
from scheduling.audit.models import AuditEntry, IdempotencyRecord
from scheduling.backfills.models import Backfill
from scheduling.bulk.models import BulkOperation
from scheduling.calendars.models import Calendar
from scheduling.events.models import Event, Outbox
from scheduling.queues.models import Queue, RateBucket
from scheduling.runs.models import ConcurrencyKey, DedupeKey, DueWork, Run, RunEnd
from scheduling.schedules.models import Miss, Schedule
from scheduling.tasks.models import Task, TaskRevision

__all__ = [
    "Agent",
    "AgentToken",
    "AuditEntry",
    "Backfill",
    "BulkOperation",
    "Calendar",
    "ConcurrencyKey",
    "DedupeKey",
    "DueWork",
    "Event",
    "IdempotencyRecord",
    "Miss",
    "Operator",
    "Outbox",
    "Queue",
    "RateBucket",
    "Run",
    "RunEnd",
    "Schedule",
    "Task",
    "TaskRevision",
]
