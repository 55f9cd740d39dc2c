"""Runs, and the due work that is their queue.

Both tables are hot. Their foreign keys carry neither a constraint nor an index of their own: dropping both doubled the
throughput when it was measured, and the invariant checker finds orphans. Tasks are archived, never deleted, so that
nothing is left to dangle.
"""

from typing import Any, ClassVar

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from scheduling.fields import JSONBytesField
from scheduling.ids import new_id
from scheduling.queues.models import rate_is_whole
from scheduling.runs.states import FailureCause, Gate, RunState, SkipReason, TriggerKind


def _bare_key(to: str, **options: Any) -> Any:
    """A foreign key that is a plain column in the database."""
    return models.ForeignKey(
        to, db_constraint=False, db_index=False, on_delete=models.DO_NOTHING, editable=False, **options
    )


class Run(models.Model):
    """One execution of a task for one trigger, through all its attempts. Its row is its history."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    task = _bare_key("scheduling.Task", related_name="runs")
    revision = _bare_key("scheduling.TaskRevision", related_name="runs")
    agent = _bare_key("scheduling.Agent", related_name="runs")
    schedule = _bare_key("scheduling.Schedule", related_name="runs", null=True)
    backfill = _bare_key("scheduling.Backfill", related_name="runs", null=True)
    is_backfilled = models.BooleanField(
        default=False,
        db_default=False,
        help_text="A backfill has led to it: directly, or by a run that started it or whose end or event did.",
    )
    event = _bare_key("scheduling.Event", related_name="runs", null=True)
    trigger_kind = models.CharField(max_length=10, choices=TriggerKind.choices)
    scheduled_for = models.DateTimeField(null=True, help_text="The occurrence, without jitter.")
    state = models.CharField(max_length=10, choices=RunState.choices, default=RunState.QUEUED)
    cause = models.CharField(max_length=12, choices=FailureCause.choices, blank=True, default="")
    skip_reason = models.CharField(max_length=12, choices=SkipReason.choices, blank=True, default="")
    attempt = models.PositiveSmallIntegerField(default=1)
    params = JSONBytesField(null=True, help_text="The run's own: the task's, and those of the trigger over them.")
    output = JSONBytesField(null=True)
    error = JSONBytesField(null=True, help_text="Of the last failed attempt.")
    simulated = models.BooleanField(default=False)
    parent = _bare_key("self", related_name="children", null=True)
    replay_of = _bare_key("self", related_name="replays", null=True)
    triggered_by = models.CharField(max_length=120, blank=True, default="", help_text="The actor, as text.")
    created_at = models.DateTimeField(db_default=Now())
    started_at = models.DateTimeField(null=True, help_text="The first claim: `now` of every attempt.")
    finished_at = models.DateTimeField(null=True)

    class Meta:
        constraints: ClassVar[list[Any]] = [
            # An occurrence has at most one run, whoever plans it and however often.
            models.UniqueConstraint(
                fields=["schedule", "scheduled_for"],
                condition=Q(trigger_kind=TriggerKind.SCHEDULE),
                name="run_occurrence_unique",
            ),
            models.UniqueConstraint(
                fields=["schedule", "scheduled_for"],
                condition=Q(trigger_kind=TriggerKind.CHECK),
                name="run_check_unique",
            ),
            models.UniqueConstraint(
                fields=["backfill", "scheduled_for"],
                condition=Q(backfill__isnull=False),
                name="run_backfilled_unique",
            ),
            # One run for each schedule that an event fires, however often it is told. The event comes first: retention
            # asks whether any run names it.
            models.UniqueConstraint(
                fields=["event", "schedule"], condition=Q(event__isnull=False), name="run_event_unique"
            ),
            models.CheckConstraint(condition=Q(state__in=RunState.values), name="run_state_known"),
            models.CheckConstraint(
                condition=Q(state=RunState.FAILED, cause__in=FailureCause.values)
                | (~Q(state=RunState.FAILED) & Q(cause="")),
                name="run_failed_has_a_cause",
            ),
        ]
        indexes: ClassVar[list[Any]] = [
            models.Index(F("task"), F("id"), name="run_task_idx"),  # the runs of a task, newest first
            models.Index(F("id"), condition=Q(state=RunState.FAILED), name="run_dead_idx"),  # dead letters
            # How many runs of a backfill are live: a claim does not write the run's row, so these two states are all.
            models.Index(
                F("backfill"),
                condition=Q(backfill__isnull=False, state__in=[RunState.QUEUED, RunState.WAITING]),
                name="run_backfill_live_idx",
            ),
            # Whether a condition is being checked.
            models.Index(
                F("schedule"),
                condition=Q(trigger_kind=TriggerKind.CHECK, state__in=[RunState.QUEUED, RunState.WAITING]),
                name="run_check_live_idx",
            ),
            # Who names a run, asked by retention before it deletes one. Most runs name none and pay nothing.
            models.Index(F("parent"), condition=Q(parent__isnull=False), name="run_parent_idx"),
            models.Index(F("replay_of"), condition=Q(replay_of__isnull=False), name="run_replay_idx"),
        ]

    def __str__(self) -> str:
        return str(self.id)


class DueWork(models.Model):
    """The queue row of one live run. It is born with the run and deleted when the run ends.

    The primary key is the run's id, and deleting by it is a fence: whoever lost the lease deletes nothing. There is no
    index on `lease_owner`: every claim would pay for it (see `docs/decisions`).
    """

    run = models.OneToOneField(
        Run, primary_key=True, db_constraint=False, on_delete=models.DO_NOTHING, related_name="due_work"
    )
    task = _bare_key("scheduling.Task", related_name="+")
    queue = models.CharField(max_length=60)
    agent = _bare_key("scheduling.Agent", related_name="+", null=True)  # set where the queue is fair, else NULL
    priority = models.PositiveSmallIntegerField()
    available_at = models.DateTimeField(help_text="Not to be claimed before.")
    gate = models.CharField(max_length=10, choices=Gate.choices, null=True)  # noqa: DJ001 (NULL keeps the index narrow)
    attempt = models.PositiveSmallIntegerField(default=1)
    claim_count = models.PositiveIntegerField(default=0)
    handback_count = models.PositiveIntegerField(default=0)
    death_count = models.PositiveSmallIntegerField(default=0, help_text="Workers that died while it was the suspect.")
    is_suspect = models.BooleanField(default=False, help_text="Its last worker died; it is tried alone.")
    is_exclusive = models.BooleanField(default=False, help_text="Its task's overlap policy is not `allow`.")
    is_watched = models.BooleanField(
        default=False, db_default=False, help_text="Its end is told: a trigger writes a RunEnd."
    )
    concurrency_key = models.CharField(max_length=300, null=True)  # noqa: DJ001 (NULL keeps the index partial)
    lease_owner = models.UUIDField(null=True, help_text="The boot id of the worker process.")
    lease_epoch = models.BigIntegerField(null=True, help_text="From one sequence; a write with an older one is void.")
    claimed_at = models.DateTimeField(null=True)
    started_at = models.DateTimeField(null=True)
    deadline_at = models.DateTimeField(null=True, help_text="When this attempt's time is over.")
    cancel_requested_at = models.DateTimeField(null=True)
    redriven_at = models.DateTimeField(
        null=True, help_text="When somebody had the failed run tried again: failures before it do not count any more."
    )

    class Meta:
        verbose_name = "due work"
        verbose_name_plural = "due work"
        constraints: ClassVar[list[Any]] = [
            models.CheckConstraint(
                condition=Q(lease_owner=None, claimed_at=None)
                | Q(lease_owner__isnull=False, lease_epoch__isnull=False, claimed_at__isnull=False),
                name="due_work_lease_is_whole",
            ),
            models.CheckConstraint(condition=Q(gate=None) | Q(lease_owner=None), name="due_work_gated_is_not_leased"),
            models.CheckConstraint(condition=Q(gate=None) | Q(gate__in=Gate.values), name="due_work_gate_known"),
        ]
        indexes: ClassVar[list[Any]] = [
            # The claim: one probe for each queue and priority. Rows that sleep, are leased or gated cost nothing. Those
            # of a fair queue stand in the index below and not in this one, whatever a claimer believes of the queue.
            models.Index(
                F("queue"),
                F("priority"),
                F("available_at"),
                F("run"),
                condition=Q(lease_owner=None, gate=None, agent=None),
                name="due_work_claim_idx",
            ),
            # The claim of a fair queue: walked from one agent and priority to the next.
            models.Index(
                F("queue"),
                F("agent"),
                F("priority"),
                F("available_at"),
                F("run"),
                condition=Q(lease_owner=None, gate=None, agent__isnull=False),
                name="due_work_fair_idx",
            ),
            models.Index(F("gate"), F("available_at"), condition=Q(gate__isnull=False), name="due_work_gate_idx"),
            models.Index(F("task"), condition=Q(is_exclusive=True), name="due_work_exclusive_idx"),
            # Who holds a key: bounded by the limits. Who waits for one: read in order, as far as there is room.
            models.Index(
                F("concurrency_key"),
                condition=Q(concurrency_key__isnull=False) & (Q(gate=None) | Q(gate=Gate.SUSPECT)),
                name="due_work_key_held_idx",
            ),
            models.Index(
                F("concurrency_key"),
                F("priority"),
                F("available_at"),
                F("run"),
                condition=Q(gate=Gate.KEY),
                name="due_work_key_waiting_idx",
            ),
        ]

    def __str__(self) -> str:
        return str(self.run_id)


class RunEnd(models.Model):
    """A run whose end somebody waits for has ended. Written by a trigger on due work, consumed queue-style.

    Due work is deleted by many statements, and a run has ended exactly when it is: so no place can forget to tell.
    """

    run = _bare_key("scheduling.Run", related_name="+")
    task = _bare_key("scheduling.Task", related_name="+")
    created_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return str(self.run_id)


class ConcurrencyKey(models.Model):
    """The row that is locked while admissions under one key are decided. The count itself is read from due work, the
    tokens of its rate are in a bucket (`scheduling.queues`)."""

    key = models.CharField(primary_key=True, max_length=300)
    limit = models.PositiveIntegerField()
    rate_limit = models.PositiveIntegerField(null=True, help_text="Admissions in each period.")
    rate_period = models.DurationField(null=True)

    class Meta:
        constraints: ClassVar[list[Any]] = [
            models.CheckConstraint(condition=Q(limit__gt=0), name="concurrency_key_limit_positive"),
            models.CheckConstraint(condition=rate_is_whole(), name="concurrency_key_rate_is_whole"),
        ]

    def __str__(self) -> str:
        return self.key


class DedupeKey(models.Model):
    """The last run that was started under a deduplication key, and until when it stands in for another."""

    task = models.ForeignKey("scheduling.Task", on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=300)
    run = _bare_key("scheduling.Run", related_name="+")
    expires_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar[list[Any]] = [
            models.UniqueConstraint(fields=["task", "key"], name="dedupe_key_unique_for_task"),
        ]
        indexes: ClassVar[list[Any]] = [
            models.Index(F("run"), name="dedupe_key_run_idx"),  # who gives a key back, and retention
        ]

    def __str__(self) -> str:
        return self.key
