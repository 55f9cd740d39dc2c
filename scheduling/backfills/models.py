"""Backfills: the occurrences of a past range, run after all, at a pace."""

from typing import Any, ClassVar

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from scheduling.ids import new_id
from scheduling.schedules.models import Schedule


class BackfillState(models.TextChoices):
    RUNNING = "running"
    COMPLETED = "completed"
    CANCELED = "canceled"
    FAILED = "failed"


class BackfillOverlap(models.TextChoices):
    """How a backfill's runs stand to each other and to the task's other runs.

    `allow`: beside all others, at most `max_active` at once. `queue_all`: one at a time, in order, and where the
    task's own policy is not `allow` only while no other run of the task is live.
    """

    ALLOW = "allow"
    QUEUE_ALL = "queue_all"


class Backfill(models.Model):
    """A range of a schedule's occurrences (both ends belong to it) to be run. The clock moves `cursor_at` through it.

    The rule is the one that the schedule had when the backfill was made: `rule` keeps its words. A backfill is
    completed when the last of its runs has ended.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    schedule = models.ForeignKey(Schedule, on_delete=models.CASCADE, related_name="backfills")
    rule = models.JSONField(editable=False)
    start_at = models.DateTimeField()
    end_at = models.DateTimeField()
    overlap = models.CharField(max_length=10, choices=BackfillOverlap.choices)
    max_active = models.PositiveSmallIntegerField(default=1, help_text="Its runs that are live at once.")
    only_missing = models.BooleanField(
        default=True, help_text="Occurrences that ran before, live or in another backfill, are left out."
    )
    state = models.CharField(max_length=10, choices=BackfillState.choices, default=BackfillState.RUNNING)
    state_reason = models.CharField(max_length=500, blank=True)
    total_count = models.PositiveIntegerField(help_text="Occurrences in the range, as counted when it was made.")
    started_count = models.PositiveIntegerField(default=0)
    skipped_count = models.PositiveIntegerField(default=0)
    cursor_at = models.DateTimeField(help_text="Everything before it has been dealt with.")
    created_by = models.CharField(max_length=120, blank=True, help_text="The actor, as text.")
    created_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True)

    class Meta:
        constraints: ClassVar[list[Any]] = [
            models.CheckConstraint(condition=Q(state__in=BackfillState.values), name="backfill_state_known"),
            models.CheckConstraint(condition=Q(overlap__in=BackfillOverlap.values), name="backfill_overlap_known"),
            models.CheckConstraint(condition=Q(start_at__lte=F("end_at")), name="backfill_is_a_range"),
            models.CheckConstraint(condition=Q(max_active__gt=0), name="backfill_max_active_positive"),
            # Two at once would run the same occurrences side by side, and each would keep to its own pace only.
            models.UniqueConstraint(
                fields=["schedule"], condition=Q(state=BackfillState.RUNNING), name="backfill_one_running_for_schedule"
            ),
        ]
        indexes: ClassVar[list[Any]] = [
            # The clock's look for backfills to move on.
            models.Index(F("created_at"), condition=Q(state=BackfillState.RUNNING), name="backfill_running_idx"),
        ]

    def __str__(self) -> str:
        return f"backfill of {self.schedule_id}"
