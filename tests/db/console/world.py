"""One object of everything that the console shows."""

from datetime import UTC, datetime, timedelta
from typing import Any

from django_apscheduler.models import DjangoJob, DjangoJobExecution

from pipelines.models import Secret, ToolServer, ToolServerTool
from scheduling.audit.models import AuditEntry, IdempotencyRecord
from scheduling.events.models import Event, Outbox
from scheduling.queues.models import Queue, RateBucket
from scheduling.runs.models import ConcurrencyKey, DedupeKey, RunEnd
from scheduling.schedules.models import Miss
from tests.factories import (
    AgentTokenFactory,
    BackfillFactory,
    BulkOperationFactory,
    CalendarFactory,
    DueWorkFactory,
    OperatorFactory,
    QuestionFactory,
    RunFactory,
    StepRunFactory,
    WorkerFactory,
)
from workers.models import Artifact, Retention, Wait


def make_world() -> dict[str, Any]:
    """By the label of its model."""
    now = datetime.now(UTC)
    work = DueWorkFactory()
    run, task = work.run, work.task
    dead = RunFactory(dead=True, task=task)
    backfill = BackfillFactory(schedule__task=task)
    schedule = backfill.schedule
    event = Event.objects.create(topic="order.paid", payload={}, depth=0)
    job = DjangoJob.objects.create(id="relay", next_run_time=now, job_state=b"")
    entry = {"actor_kind": "system", "action": "task.pause", "object_kind": "task", "object_id": str(task.pk)}
    reply = {"actor_id": "1", "key": "k", "fingerprint": "f", "status": 200, "expires_at": now}
    # An address that the guard refuses: nobody is asked for tools.
    server = ToolServer.objects.create(name="files", url="http://127.0.0.1:9/")
    made: list[Any] = [
        work,
        run,
        task,
        task.current_revision,
        task.agent,
        backfill,
        schedule,
        event,
        job,
        OperatorFactory(),
        AgentTokenFactory(agent=task.agent),
        BulkOperationFactory(),
        CalendarFactory(agent=task.agent),
        StepRunFactory(run=dead),
        WorkerFactory(),
        Artifact.objects.create(digest="d" * 64, content=b"1", size=1),
        AuditEntry.objects.create(**entry),
        ConcurrencyKey.objects.create(key="door", limit=1),
        DedupeKey.objects.create(task=task, key="once", run=run, expires_at=now),
        DjangoJobExecution.objects.create(job=job, status="Executed", run_time=now),
        IdempotencyRecord.objects.create(**reply),
        Miss.objects.create(schedule=schedule, first_at=now, last_at=now, count=1, reason="paused"),
        Outbox.objects.create(event=event),
        Queue.objects.create(name="default"),
        RateBucket.objects.create(key="queue:default", tokens=1, refilled_at=now),
        RunEnd.objects.create(run=run, task=task),
        Secret.objects.create(agent=task.agent, name="mail", ciphertext=b"", key_id="1"),
        server,
        ToolServerTool.objects.create(
            server=server, name="read", input_schema={}, side_effect="effect", discovered_at=now
        ),
        Wait.objects.create(run=run, path="nap", kind="timer", wake_at=now + timedelta(hours=1)),
        QuestionFactory(run=run),
        Retention.objects.create(kind="executions", turn_host="worker-7"),
    ]
    return {each._meta.label: each for each in made}
