"""The intervals of housekeeping, whatever the wall clock does."""

from datetime import UTC, datetime, timedelta

from apscheduler.job import Job

from scheduling.clock.housekeeping import FromNow, make_scheduler, start_over


def test_a_clock_that_jumped_by_years_makes_one_run_of_a_job_and_no_walk() -> None:
    scheduler = make_scheduler()
    scheduler.start(paused=True)
    try:
        job: Job = scheduler.get_job("scheduling.relay_outbox")
        later = datetime.now(UTC) + timedelta(days=3650)

        assert len(job._get_run_times(later)) == 1
        assert FromNow(seconds=5).get_next_fire_time(None, later) == later + timedelta(seconds=5)
    finally:
        scheduler.shutdown(wait=False)


def test_jobs_start_over_when_the_clock_was_set_back() -> None:
    scheduler = make_scheduler()
    scheduler.start(paused=True)
    try:
        for job in scheduler.get_jobs():
            scheduler.modify_job(job.id, next_run_time=datetime.now(UTC) + timedelta(hours=1))

        start_over(scheduler)

        assert all(job.next_run_time <= datetime.now(UTC) for job in scheduler.get_jobs())
    finally:
        scheduler.shutdown(wait=False)
