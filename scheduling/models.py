"""The models of the app, each defined in the package of its noun."""

from scheduling.agents.models import Agent, AgentToken, Operator
from scheduling.audit.models import AuditEntry, IdempotencyRecord
from scheduling.events.models import Event, Outbox
from scheduling.runs.models import ConcurrencyKey, DedupeKey, DueWork, Run
from scheduling.schedules.models import Miss, Schedule
from scheduling.tasks.models import Task, TaskRevision

__all__ = [
    "Agent",
    "AgentToken",
    "AuditEntry",
    "ConcurrencyKey",
    "DedupeKey",
    "DueWork",
    "Event",
    "IdempotencyRecord",
    "Miss",
    "Operator",
    "Outbox",
    "Run",
    "Schedule",
    "Task",
    "TaskRevision",
]
