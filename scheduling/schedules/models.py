"""When to do it: schedules, and the occurrences that passed without a run.

Kinds in time (`cron`, `rrule`, `interval`, `once`, and the ticks of `condition`) have a mark, `next_fire_at`; `event`
and `after` have none and are asked by what happens (see `scheduling.triggers`).
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from uuid import UUID

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from scheduling.core.recurrence import Exclusions
from scheduling.fields import AllReadable, LocalDateTimeField
from scheduling.ids import new_id
from scheduling.tasks.models import Task


class ScheduleKind(models.TextChoices):
    CRON = "cron"
    RRULE = "rrule"
    INTERVAL = "interval"
    ONCE = "once"
    EVENT = "event"
    CONDITION = "condition"
    AFTER = "after"


# Kinds that wait for something to happen, and so have no next instant.
WAITING_KINDS = (ScheduleKind.EVENT, ScheduleKind.AFTER)


class ScheduleState(models.TextChoices):
    """`completed`: it has no further occurrence. `quarantined`: the clock could not plan it; see `state_reason`."""

    ACTIVE = "active"
    PAUSED = "paused"
    COMPLETED = "completed"
    QUARANTINED = "quarantined"


class MisfirePolicyName(models.TextChoices):
    SKIP = "skip"
    LAST = "last"
    ALL = "all"


class GapPolicy(models.TextChoices):
    SHIFT = "shift"
    NEXT = "next"
    SKIP = "skip"


class FoldPolicy(models.TextChoices):
    FIRST = "first"
    SECOND = "second"
    BOTH = "both"


class MissReason(models.TextChoices):
    """Why an occurrence has no run: what `scheduling.core.planning` decides, a pause, an edit of the rule while it
    was due, or that nobody knows."""

    POLICY_SKIP = "policy_skip"
    SUPERSEDED = "superseded"
    OVER_LIMIT = "over_limit"
    OUTSIDE_WINDOW = "outside_window"
    PAUSED = "paused"
    UNACCOUNTED = "unaccounted"
    EDITED = "edited"


# Every instant in it has a local time in every zone, and the other way round. (The last is `rules.ACCOUNTED_FOR_EVER`.)
_LOCAL_YEARS = (datetime(2, 1, 1), datetime(9999, 12, 31))
_YEARS = (datetime(2, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC))
_HIGHEST_VERSION = 2**62
_INSTANTS = ("ends_at", "next_fire_at", "paused_until", "accounted_until", "held_at", "last_fired_at")
_STAMPS = ("created_at", "updated_at", "condition_checked_for")
_SPANS = ("jitter", "misfire_grace", "misfire_window")
_LONGEST = timedelta(days=400_000)  # more than the years of the calendar


class Schedule(models.Model):
    """One rule of a task. The clock keeps `next_fire_at`: the earliest occurrence that is not accounted for yet.

    While the schedule is paused, or held because its task is, the mark stands where it was; resuming counts what
    passed as one miss and moves the mark past now, so that nothing is replayed.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="schedules")
    kind = models.CharField(max_length=10, choices=ScheduleKind.choices)
    expression = models.CharField(max_length=4000)
    timezone = models.CharField(max_length=64, default="UTC", help_text="An IANA name.")
    starts_at = LocalDateTimeField(help_text="The anchor, in local time: what the rule leaves out comes from it.")
    ends_at = models.DateTimeField(null=True, blank=True)
    exdates = ArrayField(LocalDateTimeField(), default=list, blank=True)
    rdates = ArrayField(LocalDateTimeField(), default=list, blank=True)
    calendars = ArrayField(
        models.UUIDField(), default=list, blank=True, help_text="Exclusion calendars, by id: their days are left out."
    )
    max_occurrences = models.PositiveBigIntegerField(
        null=True, blank=True, help_text="After so many runs of this schedule it is completed."
    )
    jitter = models.DurationField(default=timedelta(0))
    misfire_policy = models.CharField(max_length=10, choices=MisfirePolicyName.choices, default=MisfirePolicyName.LAST)
    misfire_grace = models.DurationField(default=timedelta(minutes=1))
    misfire_limit = models.PositiveIntegerField(default=100, help_text="Late runs at once, for the policy `all`.")
    misfire_window = models.DurationField(null=True, blank=True, help_text="How late is too late, for `all`.")
    gap = models.CharField(max_length=10, choices=GapPolicy.choices, blank=True, help_text="Empty: the kind's own.")
    fold = models.CharField(max_length=10, choices=FoldPolicy.choices, blank=True)
    filter = models.TextField(
        blank=True, help_text="An expression over `event` (event, after) or over the check's `outputs` (condition)."
    )
    after_task = models.ForeignKey(
        Task, null=True, blank=True, on_delete=models.PROTECT, related_name="followers", db_index=False
    )
    check_revision = models.ForeignKey(
        "scheduling.TaskRevision", null=True, blank=True, on_delete=models.PROTECT, related_name="+", editable=False
    )
    condition_met = models.BooleanField(null=True, editable=False, help_text="What the newest check found.")
    condition_checked_for = models.DateTimeField(null=True, editable=False, help_text="The tick of that check.")
    state = models.CharField(max_length=12, choices=ScheduleState.choices, default=ScheduleState.ACTIVE, editable=False)
    state_reason = models.CharField(max_length=500, blank=True, editable=False)
    next_fire_at = models.DateTimeField(null=True, blank=True, editable=False)
    paused_until = models.DateTimeField(null=True, blank=True, editable=False, help_text="Snoozed: resumes by itself.")
    accounted_until = models.DateTimeField(
        null=True, editable=False, help_text="Up to here every occurrence has been seen to have a run or a reason."
    )
    held_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="Since when its task has been paused or archived."
    )
    last_fired_at = models.DateTimeField(null=True, blank=True, editable=False)
    fired_count = models.PositiveBigIntegerField(default=0, editable=False)
    missed_count = models.PositiveBigIntegerField(default=0, editable=False)
    skipped_count = models.PositiveBigIntegerField(default=0, editable=False)
    version = models.PositiveBigIntegerField(
        default=1, editable=False, help_text="Raised by every edit and every pass; a plan of an older one is void."
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints: ClassVar[list[Any]] = [
            models.CheckConstraint(condition=Q(kind__in=ScheduleKind.values), name="schedule_kind_known"),
            models.CheckConstraint(condition=Q(state__in=ScheduleState.values), name="schedule_state_known"),
            models.CheckConstraint(
                condition=Q(misfire_policy__in=MisfirePolicyName.values), name="schedule_misfire_policy_known"
            ),
            models.CheckConstraint(condition=Q(gap__in=["", *GapPolicy.values]), name="schedule_gap_known"),
            models.CheckConstraint(condition=Q(fold__in=["", *FoldPolicy.values]), name="schedule_fold_known"),
            models.CheckConstraint(
                condition=Q(jitter__gte=timedelta(0), misfire_grace__gte=timedelta(0)),
                name="schedule_durations_not_negative",
            ),
            models.CheckConstraint(
                condition=~Q(state=ScheduleState.ACTIVE) | Q(kind__in=WAITING_KINDS) | Q(next_fire_at__isnull=False),
                name="schedule_active_has_next",
            ),
            models.CheckConstraint(
                condition=Q(kind=ScheduleKind.AFTER, after_task__isnull=False)
                | (~Q(kind=ScheduleKind.AFTER) & Q(after_task=None)),
                name="schedule_after_has_its_task",
            ),
            models.CheckConstraint(
                condition=~Q(kind=ScheduleKind.CONDITION) | Q(check_revision__isnull=False),
                name="schedule_condition_has_its_check",
            ),
            models.CheckConstraint(
                condition=Q(max_occurrences=None) | Q(max_occurrences__gt=0), name="schedule_max_occurrences_positive"
            ),
            models.CheckConstraint(
                condition=Q(paused_until=None) | Q(state=ScheduleState.PAUSED), name="schedule_snoozed_is_paused"
            ),
            # What the table takes beyond this, by hand, nobody could read: infinities, and years that Python lacks.
            # (Of a column that is NULL the check is too, and that is passed.)
            models.CheckConstraint(condition=Q(starts_at__range=_LOCAL_YEARS), name="schedule_anchor_readable"),
            models.CheckConstraint(
                condition=Q(*((f"{name}__range", _YEARS) for name in _INSTANTS)),
                name="schedule_instants_readable",
            ),
            models.CheckConstraint(
                condition=Q(*((f"{name}__range", _YEARS) for name in _STAMPS)),
                name="schedule_stamps_readable",
            ),
            models.CheckConstraint(
                condition=Q(AllReadable("exdates")) & Q(AllReadable("rdates")), name="schedule_lists_readable"
            ),
            models.CheckConstraint(
                condition=Q(*((f"{name}__range", (timedelta(0), _LONGEST)) for name in _SPANS)),
                name="schedule_spans_readable",
            ),
            # One row that can no longer be counted up would end every pass that holds it.
            models.CheckConstraint(condition=Q(version__lte=_HIGHEST_VERSION), name="schedule_version_countable"),
        ]
        indexes: ClassVar[list[Any]] = [
            # The clock's read of due schedules: earliest first, only those that may fire.
            models.Index(
                F("next_fire_at"),
                F("id"),
                condition=Q(state=ScheduleState.ACTIVE, held_at=None, next_fire_at__isnull=False),
                name="schedule_due_idx",
            ),
            # Who listens to a topic: one probe for each pattern that matches it.
            models.Index(
                F("expression"),
                condition=Q(kind=ScheduleKind.EVENT, state=ScheduleState.ACTIVE, held_at=None),
                name="schedule_event_idx",
            ),
            # Who follows a task; also asked at each start whether the run's end is to be told.
            models.Index(F("after_task"), condition=Q(after_task__isnull=False), name="schedule_after_idx"),
            # How many are set aside, for the dashboard and the metrics.
            models.Index(F("id"), condition=Q(state=ScheduleState.QUARANTINED), name="schedule_quarantined_idx"),
            # The clock's look for snoozes that are over.
            models.Index(F("paused_until"), condition=Q(paused_until__isnull=False), name="schedule_snoozed_until_idx"),
        ]

    # What `rules.load_calendars` has read for this row.
    known_calendars: Mapping[UUID, Exclusions] = {}

    def __str__(self) -> str:
        return f"{self.kind} {self.expression}"

    @property
    def remaining(self) -> int | None:
        """How many runs it may still have; None without a maximum."""
        return None if self.max_occurrences is None else max(0, self.max_occurrences - self.fired_count)

    @property
    def is_firing(self) -> bool:
        """True where neither its own state nor a pause of its task keeps it from firing."""
        return self.state == ScheduleState.ACTIVE and self.held_at is None


class Miss(models.Model):
    """A stretch of occurrences of one schedule that passed without a run, and why. One row a stretch."""

    schedule = models.ForeignKey(Schedule, on_delete=models.CASCADE, related_name="misses")
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()
    count = models.PositiveIntegerField()
    is_at_least = models.BooleanField(default=False, help_text="Counting stopped: there were at least this many.")
    reason = models.CharField(max_length=20, choices=MissReason.choices)
    recorded_at = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name_plural = "misses"
        constraints: ClassVar[list[Any]] = [
            models.CheckConstraint(condition=Q(first_at__lte=F("last_at"), count__gt=0), name="miss_is_a_stretch"),
            models.CheckConstraint(condition=Q(reason__in=MissReason.values), name="miss_reason_known"),
        ]

    def __str__(self) -> str:
        return f"{self.count} missed ({self.reason})"
