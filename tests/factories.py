"""Rows for tests. They write straight to the tables: operations have tests of their own."""

import hashlib
from datetime import UTC, date, datetime, timedelta
from typing import Any

import factory
import orjson
from factory.django import DjangoModelFactory

from scheduling.core.backfill import rule_words
from scheduling.models import (
    Agent,
    AgentToken,
    Backfill,
    BulkOperation,
    Calendar,
    DueWork,
    Operator,
    Run,
    Schedule,
    Task,
    TaskRevision,
)
from scheduling.runs.states import FailureCause, RunState, TriggerKind
from scheduling.schedules.rules import rule_of
from workers.models import Question, StepRun, Worker

NOOP = {"version": 1, "steps": [{"id": "note", "set": {"done": True}}]}


class OperatorFactory(DjangoModelFactory[Operator]):
    class Meta:
        model = Operator
        skip_postgeneration_save = True

    username = factory.Sequence(lambda n: f"operator-{n}")
    is_staff = True
    password = factory.django.Password("correct horse battery")

    class Params:
        admin = factory.Trait(is_superuser=True)


class AgentFactory(DjangoModelFactory[Agent]):
    class Meta:
        model = Agent

    name = factory.Sequence(lambda n: f"agent-{n}")
    scopes = factory.LazyFunction(lambda: ["tasks:read", "tasks:write", "runs:read", "runs:write"])


class AgentTokenFactory(DjangoModelFactory[AgentToken]):
    """`secret` is what the bearer sends; the row holds its digest."""

    class Meta:
        model = AgentToken

    agent = factory.SubFactory(AgentFactory)
    prefix = factory.Sequence(lambda n: f"test{n:06d}")
    secret = factory.LazyAttribute(lambda token: f"ord_{token.prefix}_{'s' * 43}")
    digest = factory.LazyAttribute(lambda token: hashlib.sha256(token.secret.encode()).hexdigest())

    @classmethod
    def _create(cls, model_class: type[AgentToken], *args: Any, secret: str, **fields: Any) -> AgentToken:
        token: AgentToken = super()._create(model_class, *args, **fields)
        token.secret = secret  # type: ignore[attr-defined]
        return token


class TaskFactory(DjangoModelFactory[Task]):
    """A task with its first revision; `document` is the pipeline (default: one `set` step)."""

    class Meta:
        model = Task
        skip_postgeneration_save = True

    agent = factory.SubFactory(AgentFactory)
    key = factory.Sequence(lambda n: f"task-{n}")
    title = factory.LazyAttribute(lambda task: task.key.replace("-", " ").capitalize())

    @factory.post_generation
    def document(self: Any, create: bool, extracted: Any, **_: Any) -> None:
        if create:
            self.current_revision = TaskRevisionFactory(task=self, document=extracted or NOOP)
            Task.objects.filter(pk=self.pk).update(current_revision=self.current_revision)


class TaskRevisionFactory(DjangoModelFactory[TaskRevision]):
    class Meta:
        model = TaskRevision

    task = factory.SubFactory(TaskFactory)
    number = factory.LazyAttribute(lambda revision: revision.task.revisions.count() + 1)
    document = factory.LazyFunction(lambda: dict(NOOP))
    digest = factory.LazyAttribute(lambda revision: hashlib.sha256(orjson.dumps(revision.document)).hexdigest())
    created_by = "tests"


class ScheduleFactory(DjangoModelFactory[Schedule]):
    """Every minute, and due a second ago."""

    class Meta:
        model = Schedule

    task = factory.SubFactory(TaskFactory)
    kind = "cron"
    expression = "* * * * *"
    starts_at = datetime(2026, 1, 1)
    next_fire_at = factory.LazyFunction(lambda: datetime.now(UTC) - timedelta(seconds=1))


class BackfillFactory(DjangoModelFactory[Backfill]):
    """Ten days of a daily schedule, one run at a time."""

    class Meta:
        model = Backfill

    schedule = factory.SubFactory(
        ScheduleFactory, expression="0 9 * * *", next_fire_at=datetime(2100, 1, 1, tzinfo=UTC)
    )
    rule = factory.LazyAttribute(lambda backfill: rule_words(rule_of(backfill.schedule)))
    start_at = datetime(2026, 3, 1, 9, tzinfo=UTC)
    end_at = datetime(2026, 3, 10, 9, tzinfo=UTC)
    cursor_at = factory.SelfAttribute("start_at")
    overlap = "allow"
    max_active = 1
    total_count = 10
    created_by = "tests"
    created_at = factory.LazyFunction(lambda: datetime.now(UTC))


class BulkOperationFactory(DjangoModelFactory[BulkOperation]):
    """A redrive of ten runs that no clock has begun."""

    class Meta:
        model = BulkOperation

    filter = factory.LazyFunction(dict)
    total_count = 10
    created_by = "tests"
    created_at = factory.LazyFunction(lambda: datetime.now(UTC))


class RunFactory(DjangoModelFactory[Run]):
    """A queued run without due work; see `DueWorkFactory` for both."""

    class Meta:
        model = Run

    task = factory.SubFactory(TaskFactory)
    revision = factory.LazyAttribute(lambda run: run.task.current_revision)
    agent = factory.LazyAttribute(lambda run: run.task.agent)
    trigger_kind = TriggerKind.MANUAL
    is_backfilled = factory.LazyAttribute(lambda run: getattr(run, "backfill", None) is not None)
    created_at = factory.LazyFunction(lambda: datetime.now(UTC))

    class Params:
        succeeded = factory.Trait(
            state=RunState.SUCCEEDED,
            started_at=factory.LazyFunction(lambda: datetime.now(UTC)),
            finished_at=factory.LazyFunction(lambda: datetime.now(UTC)),
        )
        dead = factory.Trait(
            state=RunState.FAILED,
            cause=FailureCause.PERMANENT,
            error=factory.LazyFunction(lambda: {"code": "refused", "class": "permanent", "detail": "no"}),
            started_at=factory.LazyFunction(lambda: datetime.now(UTC)),
            finished_at=factory.LazyFunction(lambda: datetime.now(UTC)),
        )


class DueWorkFactory(DjangoModelFactory[DueWork]):
    """Claimable due work and its queued run."""

    class Meta:
        model = DueWork

    run = factory.SubFactory(RunFactory)
    task = factory.LazyAttribute(lambda work: work.run.task)
    queue = factory.LazyAttribute(lambda work: work.task.queue)
    priority = factory.LazyAttribute(lambda work: work.task.priority)
    available_at = factory.LazyFunction(lambda: datetime.now(UTC) - timedelta(seconds=1))
    is_exclusive = factory.LazyAttribute(lambda work: work.task.is_exclusive)


class StepRunFactory(DjangoModelFactory[StepRun]):
    class Meta:
        model = StepRun

    run = factory.SubFactory(RunFactory)
    path = factory.Sequence(lambda n: f"step_{n}")
    attempt = 1
    kind = "tool"
    uses = "log.write"
    state = "succeeded"
    started_at = factory.LazyFunction(lambda: datetime.now(UTC))
    finished_at = factory.LazyFunction(lambda: datetime.now(UTC))


class WorkerFactory(DjangoModelFactory[Worker]):
    class Meta:
        model = Worker

    boot_id = factory.Faker("uuid4", cast_to=None)
    supervisor_id = factory.Faker("uuid4", cast_to=None)
    host = "host.example"
    pid = factory.Sequence(lambda n: 1000 + n)
    release = "0.1.0"
    queues = factory.LazyFunction(lambda: ["default"])
    slots = 4


class CalendarFactory(DjangoModelFactory[Calendar]):
    """Christmas of 2026 and the day after."""

    class Meta:
        model = Calendar

    agent = factory.SubFactory(AgentFactory)
    key = factory.Sequence(lambda n: f"calendar-{n}")
    dates = factory.LazyFunction(lambda: [date(2026, 12, 25), date(2026, 12, 26)])
    days = factory.SelfAttribute("dates")


class QuestionFactory(DjangoModelFactory[Question]):
    class Meta:
        model = Question

    run = factory.SubFactory(RunFactory)
    path = "ok"
    attempt = 1
    kind = "approval"
    asks = factory.LazyFunction(lambda: {"title": "Go on?", "detail": "", "roles": [], "form": None})
