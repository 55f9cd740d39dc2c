"""The housekeeping of a clock process, framed by APScheduler and shown in the console by django-apscheduler.

Jobs live in memory, in every clock; each has one DjangoJob row, so that the console can list it. (One shared
DjangoJobStore fires every job in every process, stands still for 22 s after one outage of the database, and deletes
what it cannot unpickle.) Only executions that did something or failed are stored: a job that looks every second would
fill the table with nothing.
"""

import contextlib
from datetime import UTC, datetime
from typing import Any

import structlog
from apscheduler import events
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger
from django.db import close_old_connections
from django_apscheduler.jobstores import DjangoMemoryJobStore
from django_apscheduler.models import DjangoJob

from scheduling.housekeeping import HousekeepingJob, registered

logger = structlog.get_logger(__name__)


class FromNow(IntervalTrigger):
    """An interval that is counted from now. APScheduler's own counts from the last time, by the wall clock: after that
    jumped forward by years it walks through every second in between, with all its jobs locked."""

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        next_at: datetime = now + self.interval
        return next_at


class MemoryJobStore(DjangoMemoryJobStore):
    """Jobs in memory; their noteworthy executions in the database."""

    def register_event_listeners(self) -> None:
        self._scheduler.add_listener(self.store_execution, events.EVENT_JOB_EXECUTED)
        self._scheduler.add_listener(self.store_error, events.EVENT_JOB_ERROR)

    @classmethod
    def store_execution(cls, event: Any) -> None:
        if event.retval:
            _guarded(cls.handle_execution_event, event)

    @classmethod
    def store_error(cls, event: Any) -> None:
        logger.error("housekeeping.failed", job=event.job_id, detail=str(event.exception))
        _guarded(cls.handle_error_event, event)


def make_scheduler() -> BackgroundScheduler:
    """A scheduler with every registered job, not started. Its threads close the connections they leave stale."""
    scheduler = BackgroundScheduler(
        jobstores={"default": MemoryJobStore()},
        executors={"default": ThreadPoolExecutor(2)},
        job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": 60},
        timezone="UTC",
    )
    for job in registered():
        trigger = FromNow(seconds=job.every.total_seconds(), timezone="UTC")
        scheduler.add_job(_call, trigger, id=job.id, args=[job])
    return scheduler


def start_over(scheduler: BackgroundScheduler) -> None:
    """Run every job soon, and count its interval from there: after the host's wall clock, by which APScheduler waits,
    was set back by an hour, the jobs would rest for an hour."""
    for job in scheduler.get_jobs():
        with contextlib.suppress(JobLookupError):
            scheduler.modify_job(job.id, next_run_time=datetime.now(UTC))


def show_jobs(*, now: datetime) -> None:
    """Write one row a job for the console; rows of jobs that no longer exist go, with their executions."""
    jobs = registered()
    for job in jobs:
        DjangoJob.objects.update_or_create(id=job.id, defaults={"next_run_time": now + job.every, "job_state": b""})
    DjangoJob.objects.exclude(id__in=[job.id for job in jobs]).delete()


def _call(job: HousekeepingJob) -> int:
    close_old_connections()
    try:
        return job.run()
    finally:
        close_old_connections()


def _guarded(store: Any, event: Any) -> None:
    """Keeping the record is not the work: where the database is away, the log line has to do."""
    close_old_connections()
    try:
        store(event)
    except Exception:
        logger.exception("housekeeping.execution_not_stored", job=event.job_id)
