"""What the crash tests of clocks share: schedules that are due, in every way that a pass writes, and the check."""

import os
import random
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

from django.db.models import Count

from scheduling.clock.accounting import Auditor
from scheduling.models import DueWork, Miss, Run, Schedule, Task
from tests.factories import ScheduleFactory, TaskFactory
from tests.invariants import broken_invariants
from tests.waiting import wait_until

BATCH = 25
SEED = os.environ.get("ORDINAUT_TEST_TORTURE_SEED")


def dice(name: str) -> random.Random:
    """What the torture driver's seed decides for the case of that name; chance in the ordinary run."""
    return random.Random(None if SEED is None else f"{SEED} {name}")


def make_due(how_many: int) -> set[tuple[object, datetime]]:
    """Schedules that are due now and each minute: by turns plain ones, exclusive ones, ones that are the only one of an
    exclusive task, and ones that were missed for two hours.

    Returns the occurrences that must have exactly one run each.
    """
    # At this second and not at the full minute: whether an occurrence is late changes a minute after it.
    at = datetime.now(UTC).replace(microsecond=0)
    tasks = [TaskFactory(overlap=overlap) for overlap in ("allow", "queue_all", "skip", "allow")]
    schedules = []
    for number in range(how_many):
        mark = at - timedelta(minutes=number % 120) if number % 3 == 0 else at
        rule = (
            {"kind": "interval", "expression": "PT1M"}
            if number % 5 == 0
            else {"kind": "rrule", "expression": f"FREQ=MINUTELY;BYSECOND={at.second}"}
        )
        ends_at = at + timedelta(seconds=1)
        schedules.append(
            ScheduleFactory.build(
                task=TaskFactory(overlap="skip") if number % 8 == 1 else tasks[number % 4],
                **rule,
                starts_at=(at - timedelta(hours=3)).replace(tzinfo=None),
                next_fire_at=mark,
                accounted_until=mark - timedelta(microseconds=1),
                ends_at=ends_at,
                misfire_policy=("all", "last", "skip")[number % 3 if mark != at else 0],
                misfire_limit=5,
            )
        )
    Schedule.objects.bulk_create(schedules)
    return {(schedule.pk, at) for schedule in schedules}


def all_fired() -> bool:
    return not Schedule.objects.exclude(state="completed").exists()


def wait_until_all_fired(*, timeout: float = 40.0) -> None:
    wait_until(all_fired, timeout=timeout, what="every mark to move")


def assert_nothing_lost_or_doubled(expected: set[tuple[object, datetime]]) -> None:
    """Each occurrence has one run or lies in one miss, counts and rows agree, and all invariants hold."""
    runs = Run.objects.filter(trigger_kind="schedule")
    twice = runs.values("schedule", "scheduled_for").annotate(n=Count("id")).filter(n__gt=1)
    assert not twice.exists()
    assert expected <= set(runs.values_list("schedule", "scheduled_for"))
    assert Auditor().round(spend=30) == 0
    assert broken_invariants() == {}
    counted = sum(sum(row) for row in Schedule.objects.values_list("fired_count", "skipped_count"))
    assert counted == runs.count()
    missed = sum(Schedule.objects.values_list("missed_count", flat=True))
    assert missed == sum(Miss.objects.values_list("count", flat=True))
    assert not Schedule.objects.filter(state="quarantined").exists()


def state_of(process: subprocess.Popen[bytes]) -> str:
    """The kernel's letter for it: T is stopped. Empty where it is gone."""
    try:
        stat = Path(f"/proc/{process.pid}/stat").read_text(encoding="ascii")
    except FileNotFoundError:
        return ""
    return stat.rpartition(")")[2].split()[0]


def fingerprint() -> set[tuple[object, ...]]:
    """What several clocks must do as one would: runs by their occurrence, misses, and where the marks stand."""
    return {
        *Run.objects.values_list("schedule", "scheduled_for", "skip_reason"),
        *Miss.objects.values_list("schedule", "first_at", "last_at", "count", "reason"),
        *Schedule.objects.values_list("pk", "next_fire_at", "fired_count", "missed_count", "skipped_count"),
    }


def forget_everything() -> None:
    for model in (DueWork, Run, Miss, Schedule):
        model.objects.all().delete()
    assert Task.objects.exists()
