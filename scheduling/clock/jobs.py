"""The housekeeping jobs of the scheduling app."""

from datetime import timedelta

import structlog
from django.utils import timezone

from scheduling.audit.models import IdempotencyRecord
from scheduling.audit.operations import Actor
from scheduling.clock.accounting import audit
from scheduling.clock.housekeeping import prune_executions
from scheduling.clock.zones import apply_zone_data
from scheduling.events.relay import relay_outbox
from scheduling.housekeeping import HousekeepingJob, alone, register
from scheduling.runs.models import DedupeKey
from scheduling.tasks.models import Task, TaskState
from scheduling.tasks.operations import resume_task

logger = structlog.get_logger(__name__)

BATCH = 200


def end_snoozes() -> int:
    """Resume the tasks whose snooze is over."""
    with alone("end_snoozes") as is_alone:
        if not is_alone:
            return 0
        over = list(
            Task.objects.filter(state=TaskState.PAUSED, paused_until__lte=timezone.now()).order_by("id")[:BATCH]
        )
        for task in over:
            resume_task(actor=Actor.system("clock"), task=task)
        return len(over)


def forget_expired() -> int:
    """Delete stored replies and deduplication keys whose time is over, and old executions of these jobs."""
    with alone("forget_expired") as is_alone:
        if not is_alone:
            return 0
        now = timezone.now()
        replies, _ = IdempotencyRecord.objects.filter(expires_at__lt=now).delete()
        keys, _ = DedupeKey.objects.filter(expires_at__lt=now).delete()
        return replies + keys + prune_executions()


def register_jobs() -> None:
    """Called when the app is ready."""
    register(HousekeepingJob("scheduling.relay_outbox", relay_outbox, timedelta(seconds=1)))
    register(HousekeepingJob("scheduling.end_snoozes", end_snoozes, timedelta(seconds=1)))
    register(HousekeepingJob("scheduling.audit_occurrences", audit, timedelta(seconds=15)))
    register(HousekeepingJob("scheduling.apply_zone_data", apply_zone_data, timedelta(seconds=10)))
    register(HousekeepingJob("scheduling.forget_expired", forget_expired, timedelta(minutes=10)))
