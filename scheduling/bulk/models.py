"""Bulk operations, each a row that says how far it has come."""

from typing import Any, ClassVar

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from scheduling.agents.models import Agent
from scheduling.ids import new_id


class BulkState(models.TextChoices):
    RUNNING = "running"
    FINISHED = "finished"
    CANCELED = "canceled"
    FAILED = "failed"


class BulkKind(models.TextChoices):
    REDRIVE = "redrive"


class BulkOperation(models.Model):
    """A deed on all runs that a filter chose. `agent` None: runs of every agent. The clock moves `cursor` on."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    kind = models.CharField(max_length=10, choices=BulkKind.choices, default=BulkKind.REDRIVE)
    agent = models.ForeignKey(Agent, null=True, on_delete=models.CASCADE, related_name="+")
    filter = models.JSONField(help_text="As it was asked for.")
    state = models.CharField(max_length=10, choices=BulkState.choices, default=BulkState.RUNNING)
    state_reason = models.CharField(max_length=500, blank=True)
    total_count = models.PositiveIntegerField(help_text="Runs that matched when it was made.")
    done_count = models.PositiveIntegerField(default=0)
    skipped_count = models.PositiveIntegerField(default=0, help_text="Changed meanwhile, or not possible.")
    cursor = models.UUIDField(null=True, help_text="Every run up to this id has been dealt with.")
    created_by = models.CharField(max_length=160, blank=True, help_text="The actor, as text.")
    created_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True)

    class Meta:
        constraints: ClassVar[list[Any]] = [
            models.CheckConstraint(condition=Q(state__in=BulkState.values), name="bulk_state_known"),
            models.CheckConstraint(condition=Q(kind__in=BulkKind.values), name="bulk_kind_known"),
        ]
        indexes: ClassVar[list[Any]] = [
            # The clock's look for operations to carry on.
            models.Index(F("id"), condition=Q(state=BulkState.RUNNING), name="bulk_running_idx"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {self.total_count} runs"
