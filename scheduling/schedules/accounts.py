"""What a pause or an edit passes over is accounted for: counted, with its reason, and the mark moves behind it.

Everything here sets columns of a schedule whose row the caller's transaction holds, and leaves saving it to the caller.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from scheduling.core.planning import last_occurrence
from scheduling.schedules.models import Miss, MissReason, Schedule
from scheduling.schedules.rules import ACCOUNTED_FOR_EVER, count_passed, recurrence_of, seen_until, set_mark

_COUNTING_STOPS_AT = 10_000


def last_paused(until: datetime | None, *, now: datetime) -> datetime:
    """The last instant that a pause takes, which had this end and is ended at `now`. The end itself is not paused."""
    return now if until is None or until > now else until - timedelta(microseconds=1)


def account_for_pause(schedule: Schedule, *, now: datetime, is_anew: bool = False) -> None:
    """Record what passed since the mark as one miss, and move the mark past now. The rule is what it was: the auditor
    goes on from where it had come to.

    A mark that lies ahead stays, unless it is to be found anew: zone data, or a calendar, may have changed under it.
    One that has had all its runs is completed. ScheduleError where the rule is not valid, or has come to nothing;
    nothing is recorded then.
    """
    passed = passed_since_mark(schedule, now)
    seen = ACCOUNTED_FOR_EVER if schedule.next_fire_at is None else seen_until(schedule)
    if schedule.remaining == 0:
        mark = None
    elif is_anew or schedule.next_fire_at is None or schedule.next_fire_at <= now:
        recurrence = recurrence_of(schedule)
        mark = recurrence.next_after(now) if passed else recurrence.require_next(now)
    else:
        mark = schedule.next_fire_at
    record_passed(schedule, passed, MissReason.PAUSED)
    set_mark(schedule, mark)
    schedule.accounted_until = min(seen, seen_until(schedule))


def passed_since_mark(schedule: Schedule, now: datetime) -> list[datetime]:
    """The occurrences from the mark up to `now`; where they are too many to count, one more than is counted, which is
    the last of all: the miss reaches as far as the mark moves."""
    passed = count_passed(schedule, now=now, limit=_COUNTING_STOPS_AT + 1)
    if len(passed) > _COUNTING_STOPS_AT:
        passed[-1] = last_occurrence(recurrence_of(schedule), passed[0], now + timedelta(microseconds=1))
    return passed


def record_passed(schedule: Schedule, passed: Sequence[datetime], reason: MissReason) -> None:
    """One miss for all of these, which is counted on the schedule."""
    if passed:
        count = min(len(passed), _COUNTING_STOPS_AT)
        Miss.objects.create(
            schedule=schedule,
            first_at=passed[0],
            last_at=passed[-1],
            count=count,
            is_at_least=len(passed) > count,
            reason=reason,
        )
        schedule.missed_count += count
