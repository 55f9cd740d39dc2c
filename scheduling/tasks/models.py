"""What to do: tasks and the immutable revisions of their pipelines."""

from datetime import timedelta
from typing import Any, ClassVar

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from scheduling.agents.models import Agent
from scheduling.fields import JSONBytesField
from scheduling.ids import new_id
from scheduling.queues.models import rate_is_whole

HIGHEST_PRIORITY = 1
LOWEST_PRIORITY = 9
DEFAULT_QUEUE = "default"


class TaskState(models.TextChoices):
    ACTIVE = "active"
    PAUSED = "paused"
    ARCHIVED = "archived"


class OverlapPolicy(models.TextChoices):
    """What to do with an occurrence that comes while a run of the same task is live."""

    ALLOW = "allow"
    SKIP = "skip"
    QUEUE_ONE = "queue_one"
    QUEUE_ALL = "queue_all"
    CANCEL_RUNNING = "cancel_running"


class TaskQuerySet(models.QuerySet["Task"]):
    def visible_to(self, agent: Agent, *, all_agents: bool) -> "TaskQuerySet":
        """An agent sees its own tasks; one whose scope is wider sees all."""
        return self.all() if all_agents else self.filter(agent=agent)

    def not_archived(self) -> "TaskQuerySet":
        return self.exclude(state=TaskState.ARCHIVED)


class Task(models.Model):
    """A definition: what is run, and how its runs are queued, retried and kept apart."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    agent = models.ForeignKey(Agent, on_delete=models.PROTECT, related_name="tasks")
    key = models.SlugField(max_length=120, help_text="Unique for its agent; what `apply` matches by.")
    title = models.CharField(max_length=200)
    description = models.TextField(blank=True)
    state = models.CharField(max_length=10, choices=TaskState.choices, default=TaskState.ACTIVE, editable=False)
    paused_at = models.DateTimeField(null=True, blank=True, editable=False)
    paused_until = models.DateTimeField(null=True, blank=True, editable=False, help_text="Snoozed: resumes by itself.")
    pause_reason = models.CharField(max_length=500, blank=True, editable=False)
    current_revision = models.ForeignKey(
        "TaskRevision", null=True, editable=False, on_delete=models.PROTECT, related_name="+"
    )
    params = JSONBytesField(default=dict, help_text="Laid over the document's defaults, key by key.")
    simulate = models.BooleanField(default=False, help_text="Every run of the task is simulated.")
    priority = models.PositiveSmallIntegerField(
        default=5,
        validators=[MinValueValidator(HIGHEST_PRIORITY), MaxValueValidator(LOWEST_PRIORITY)],
        help_text="1 is claimed first, 9 last; a minute of waiting makes up for one step.",
    )
    queue = models.SlugField(max_length=60, default=DEFAULT_QUEUE, db_index=False)
    overlap = models.CharField(max_length=20, choices=OverlapPolicy.choices, default=OverlapPolicy.ALLOW)
    retry = models.JSONField(default=dict, blank=True, help_text="Of the whole run; the document's steps have theirs.")
    timeout = models.DurationField(null=True, blank=True, help_text="Of one attempt of the run.")
    pause_after_failures = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text="Paused when so many runs in a row have failed."
    )
    resumed_at = models.DateTimeField(null=True, editable=False, help_text="Failures before it do not count.")
    keep_runs = models.PositiveIntegerField(
        null=True, blank=True, help_text="At most so many newest runs are kept; empty: however many."
    )
    keep_for = models.DurationField(
        null=True, blank=True, help_text="How long ended runs are kept; empty: as the settings say."
    )
    concurrency_key = models.CharField(max_length=200, blank=True)
    concurrency_limit = models.PositiveIntegerField(null=True, blank=True)
    rate_limit = models.PositiveIntegerField(null=True, blank=True, help_text="Admitted under the key in each period.")
    rate_period = models.DurationField(null=True, blank=True)
    dedupe_key = models.CharField(max_length=200, blank=True)
    dedupe_window = models.DurationField(null=True, blank=True)
    labels = models.JSONField(default=dict, blank=True)
    version = models.PositiveIntegerField(default=1, editable=False, help_text="Raised by every change; the ETag.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(db_default=Now(), editable=False)
    archived_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = TaskQuerySet.as_manager()

    class Meta:
        constraints: ClassVar[list[Any]] = [
            models.UniqueConstraint(fields=["agent", "key"], name="task_key_unique_for_agent"),
            models.CheckConstraint(condition=Q(state__in=TaskState.values), name="task_state_known"),
            models.CheckConstraint(condition=Q(overlap__in=OverlapPolicy.values), name="task_overlap_known"),
            models.CheckConstraint(
                condition=Q(priority__range=(HIGHEST_PRIORITY, LOWEST_PRIORITY)), name="task_priority_in_range"
            ),
            models.CheckConstraint(
                condition=Q(concurrency_key="", concurrency_limit=None)
                | (~Q(concurrency_key="") & Q(concurrency_limit__isnull=False, concurrency_limit__gt=0)),
                name="task_concurrency_key_with_limit",
            ),
            models.CheckConstraint(
                condition=rate_is_whole() & (Q(rate_limit=None) | ~Q(concurrency_key="")),
                name="task_rate_of_a_key",
            ),
            models.CheckConstraint(
                condition=Q(dedupe_key="", dedupe_window=None)
                | (~Q(dedupe_key="") & Q(dedupe_window__isnull=False, dedupe_window__gt=timedelta(0))),
                name="task_dedupe_key_with_window",
            ),
            models.CheckConstraint(
                condition=Q(pause_after_failures=None) | Q(pause_after_failures__gt=0),
                name="task_pause_after_failures_positive",
            ),
            models.CheckConstraint(
                condition=(Q(keep_runs=None) | Q(keep_runs__gt=0)) & (Q(keep_for=None) | Q(keep_for__gt=timedelta(0))),
                name="task_keeps_something",
            ),
            models.CheckConstraint(
                condition=Q(timeout=None) | Q(timeout__gt=timedelta(0)), name="task_timeout_positive"
            ),
            models.CheckConstraint(
                condition=Q(state=TaskState.PAUSED, paused_at__isnull=False)
                | (~Q(state=TaskState.PAUSED) & Q(paused_at=None, paused_until=None)),
                name="task_paused_has_an_instant",
            ),
            models.CheckConstraint(
                condition=Q(state=TaskState.ARCHIVED, archived_at__isnull=False)
                | (~Q(state=TaskState.ARCHIVED) & Q(archived_at=None)),
                name="task_archived_has_an_instant",
            ),
        ]
        indexes: ClassVar[list[Any]] = [
            models.Index(
                F("paused_until"), condition=Q(state=TaskState.PAUSED), name="task_snoozed_until_idx"
            ),  # the clock's look for snoozes that are over
            # Retention's look for tasks that keep less than the settings say.
            models.Index(
                F("id"), condition=Q(keep_runs__isnull=False) | Q(keep_for__isnull=False), name="task_keeps_idx"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.key}"

    @property
    def own_concurrency_key(self) -> str:
        """The key of a limit that speaks of this task alone. (Keys are kept apart by agent besides.)"""
        return f"task:{self.pk}"

    @property
    def shown_concurrency_key(self) -> str | None:
        """The key as it was written, None for a limit of this task alone."""
        return None if self.concurrency_key in ("", self.own_concurrency_key) else self.concurrency_key

    @property
    def is_exclusive(self) -> bool:
        """True where a start has to look at the task's live runs first."""
        return self.overlap != OverlapPolicy.ALLOW


class RevisionPurpose(models.TextChoices):
    """`check`: the pipeline by which a schedule of kind `condition` looks whether to fire."""

    PIPELINE = "pipeline"
    CHECK = "check"


class TaskRevision(models.Model):
    """One saved pipeline of a task, never changed afterwards: a trigger forbids it. A run is pinned to its own."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    task = models.ForeignKey(Task, on_delete=models.PROTECT, related_name="revisions")
    purpose = models.CharField(max_length=10, choices=RevisionPurpose.choices, default=RevisionPurpose.PIPELINE)
    number = models.PositiveIntegerField(help_text="From 1 in each purpose.")
    document = JSONBytesField(help_text="The normalised document.")
    digest = models.CharField(max_length=64, help_text="SHA-256 of the document's bytes.")
    created_by = models.CharField(max_length=120, help_text="The actor, as text.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints: ClassVar[list[Any]] = [
            models.UniqueConstraint(fields=["task", "purpose", "number"], name="task_revision_number_unique"),
            models.CheckConstraint(condition=Q(purpose__in=RevisionPurpose.values), name="task_revision_purpose_known"),
        ]

    def __str__(self) -> str:
        return f"revision {self.number}"
