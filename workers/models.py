"""Who runs the work: worker processes, the journal of steps, parked runs and large results."""

from typing import Any, ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from pipelines.document.limits import MAX_PATH
from pipelines.engine.paths import shown_path
from pipelines.engine.ports import StepState
from scheduling.fields import JSONBytesField
from scheduling.ids import new_id


class WorkerState(models.TextChoices):
    """`lost`: its beat stood still and its work was given away; a lost boot id never comes back."""

    RUNNING = "running"
    DRAINING = "draining"
    STOPPED = "stopped"
    LOST = "lost"


LIVE_WORKER_STATES = (WorkerState.RUNNING, WorkerState.DRAINING)


class WorkerQuerySet(models.QuerySet["Worker"]):
    def live(self) -> "WorkerQuerySet":
        return self.filter(state__in=LIVE_WORKER_STATES)


class Worker(models.Model):
    """One worker process. Its supervisor beats for it; `beat_number` standing still is how death is noticed."""

    boot_id = models.UUIDField(primary_key=True, editable=False)
    supervisor_id = models.UUIDField(help_text="Of the host's `runworkers`, the same for its processes.")
    host = models.CharField(max_length=120)
    pid = models.PositiveIntegerField()
    release = models.CharField(max_length=40)
    queues = ArrayField(models.CharField(max_length=60))
    slots = models.PositiveIntegerField()
    running_count = models.PositiveIntegerField(default=0)
    state = models.CharField(max_length=10, choices=WorkerState.choices, default=WorkerState.RUNNING)
    beat_number = models.BigIntegerField(default=0)
    beat_at = models.DateTimeField(db_default=Now())
    doing = models.JSONField(null=True, help_text="Its runs as of the last beat: see `workers.doing`.")
    last_error = models.TextField(blank=True, help_text="The last unexpected error of the process or its supervisor.")
    last_error_at = models.DateTimeField(null=True)
    state_reason = models.TextField(blank=True, db_default="", help_text="Why it drains, has stopped or is lost.")
    drain_requested_at = models.DateTimeField(null=True)
    drain_requested_by = models.CharField(max_length=160, blank=True, db_default="", help_text="The actor, as text.")
    drains_host = models.BooleanField(db_default=False, help_text="All of its supervisor, later ones too.")
    started_at = models.DateTimeField(db_default=Now())
    stopped_at = models.DateTimeField(null=True)

    objects = WorkerQuerySet.as_manager()

    class Meta:
        constraints: ClassVar[list[Any]] = [
            models.CheckConstraint(condition=Q(state__in=WorkerState.values), name="worker_state_known"),
        ]
        indexes: ClassVar[list[Any]] = [
            # Those that live, among the rows of all that ever did. Beats change nothing in it, so they stay HOT.
            models.Index(F("boot_id"), condition=Q(state__in=LIVE_WORKER_STATES), name="worker_live_idx"),
            models.Index(F("supervisor_id"), condition=Q(drains_host=True), name="worker_drains_host_idx"),
        ]

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}"


class StepRun(models.Model):
    """One attempt of one step of a run: the journal that a resumed run reads, and the history that people read."""

    run = models.ForeignKey(
        "scheduling.Run", db_constraint=False, db_index=False, on_delete=models.DO_NOTHING, related_name="step_runs"
    )
    path = models.CharField(max_length=MAX_PATH)
    attempt = models.PositiveSmallIntegerField(help_text="The step's tries over the whole run, from 1.")
    run_attempt = models.PositiveSmallIntegerField(default=1)
    kind = models.CharField(max_length=20)
    uses = models.CharField(max_length=120, blank=True, default="")
    state = models.CharField(max_length=12, choices=[(state.value, state.value) for state in StepState])
    input = JSONBytesField(null=True)
    output = JSONBytesField(null=True)
    output_artifact = models.CharField(max_length=64, blank=True, default="", help_text="Digest of a large output.")
    error = JSONBytesField(null=True)
    is_simulated = models.BooleanField(default=False)
    is_tolerated = models.BooleanField(default=False)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        constraints: ClassVar[list[Any]] = [
            models.UniqueConstraint(fields=["run", "path", "attempt"], name="step_run_attempt_unique"),
            # A finished step never runs again: not as a rule of ours, as a rule of the database.
            models.UniqueConstraint(
                fields=["run", "path"], condition=Q(state="succeeded"), name="step_run_succeeds_once"
            ),
        ]
        indexes: ClassVar[list[Any]] = [
            # Retention asks who names an artifact. Few steps have one, and the others pay nothing.
            models.Index(F("output_artifact"), condition=~Q(output_artifact=""), name="step_run_artifact_idx"),
        ]

    def __str__(self) -> str:
        return f"{self.shown_path} #{self.attempt}"

    @property
    def shown_path(self) -> str:
        """The path without marks of bodies that a retry has begun anew."""
        return shown_path(self.path)


class Wait(models.Model):
    """What a parked run waits for. Deleted when the run goes on or ends."""

    class Kind(models.TextChoices):
        TIMER = "timer"

    run = models.ForeignKey(
        "scheduling.Run", db_constraint=False, db_index=False, on_delete=models.DO_NOTHING, related_name="waits"
    )
    path = models.CharField(max_length=MAX_PATH)
    kind = models.CharField(max_length=10, choices=Kind.choices)
    wake_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints: ClassVar[list[Any]] = [
            models.UniqueConstraint(fields=["run", "path"], name="wait_unique_for_path"),
            models.CheckConstraint(
                condition=~Q(kind="timer") | Q(wake_at__isnull=False), name="wait_timer_has_an_instant"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.shown_path}"

    @property
    def shown_path(self) -> str:
        """The path without marks of bodies that a retry has begun anew."""
        return shown_path(self.path)


class Question(models.Model):
    """What a step has asked of the outside, from its start on: it takes one answer, and is closed with the step's
    attempt, or with the run. It stays with its run. See `docs/decisions/0011-questions.md`, and for those of events and
    of other runs `docs/decisions/0012-events-and-runs-in-a-run.md`."""

    class Kind(models.TextChoices):
        APPROVAL = "approval"
        EVENT = "event"
        RUN = "run"

    class Outcome(models.TextChoices):
        APPROVED = "approved"
        REJECTED = "rejected"
        ANSWERED = "answered"
        EXPIRED = "expired"
        WITHDRAWN = "withdrawn"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    run = models.ForeignKey(
        "scheduling.Run", db_constraint=False, db_index=False, on_delete=models.DO_NOTHING, related_name="questions"
    )
    path = models.CharField(max_length=MAX_PATH)
    attempt = models.PositiveSmallIntegerField(help_text="Of the step that asks.")
    kind = models.CharField(max_length=10, choices=Kind.choices)
    until = models.DateTimeField(null=True, help_text="When the time for an answer is over, if anybody has set one.")
    asks = JSONBytesField(help_text="What whoever answers has to know.")
    topic = models.CharField(max_length=200, blank=True, default="", db_default="", help_text="Of events that answer.")
    is_pending = models.BooleanField(
        default=False,
        db_default=False,
        help_text="A worker host has to act on it: look for events of before, start the run, or cancel it.",
    )
    subject_id = models.UUIDField(null=True, help_text="The event that answered, or the run that was started.")
    answer = JSONBytesField(null=True)
    answered_at = models.DateTimeField(null=True)
    closed_at = models.DateTimeField(null=True, help_text="When the step went on, or the run ended without it.")
    outcome = models.CharField(max_length=10, choices=Outcome.choices, blank=True, default="", db_default="")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints: ClassVar[list[Any]] = [
            models.UniqueConstraint(fields=["run", "path", "attempt"], name="question_of_attempt_unique"),
            models.CheckConstraint(
                condition=Q(answer=None, answered_at=None) | Q(answer__isnull=False, answered_at__isnull=False),
                name="question_answer_is_whole",
            ),
            models.CheckConstraint(condition=Q(closed_at=None) | ~Q(outcome=""), name="question_closed_has_outcome"),
        ]
        verbose_name = "approval"
        indexes: ClassVar[list[Any]] = [
            # The inbox, newest first, and the sweep of those whose run has ended.
            models.Index(F("kind"), F("id"), condition=Q(closed_at=None), name="question_open_idx"),
            # What worker hosts act on: who has waited for longest; who waits for a topic; whose time is over.
            models.Index(F("id"), condition=Q(is_pending=True), name="question_pending_idx"),
            models.Index(
                F("topic"), F("id"), condition=Q(kind="event", closed_at=None, answer=None), name="question_topic_idx"
            ),
            models.Index(
                F("until"),
                condition=Q(kind__in=["event", "run"], closed_at=None, answer=None),
                name="question_until_idx",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.shown_path}"

    @property
    def shown_path(self) -> str:
        """The path without marks of bodies that a retry has begun anew."""
        return shown_path(self.path)


class Artifact(models.Model):
    """A result that is too large for the journal's row, stored under the SHA-256 of its bytes."""

    digest = models.CharField(primary_key=True, max_length=64)
    content = models.BinaryField()
    size = models.PositiveIntegerField(help_text="Bytes.")
    created_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return self.digest[:12]


class Retention(models.Model):
    """How far the walk of one kind of rows has come, and its last turn. Written by whichever host has the turn."""

    kind = models.CharField(primary_key=True, max_length=20)
    # An id or a name of the kind, as text: of any length.
    cursor = models.TextField(blank=True, help_text="Where the walk goes on; empty: at the beginning.")
    lap_start = models.TextField(blank=True, help_text="Where the next lap begins: nothing is before.")
    lap_at = models.DateTimeField(db_default=Now())
    is_resting = models.BooleanField(default=True, help_text="The lap has come to what is too young.")
    turn_at = models.DateTimeField(db_default=Now())
    turn_host = models.CharField(max_length=120)
    turn_deleted = models.PositiveIntegerField(default=0)
    turn_seconds = models.FloatField(default=0)
    deleted_count = models.PositiveBigIntegerField(default=0)

    class Meta:
        verbose_name_plural = "retention"

    def __str__(self) -> str:
        return self.kind
