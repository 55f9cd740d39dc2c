"""Holes: the occurrences of a schedule that its mark has passed, and that have neither a run nor a reason."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import groupby
from typing import Any
from uuid import UUID

import structlog
from django.db import connection, transaction

from scheduling.clock import metrics
from scheduling.core.recurrence import Recurrence, compile_rule, settled_anchor
from scheduling.events.models import Event
from scheduling.events.operations import hear, store
from scheduling.events.topics import DID_NOT_RUN
from scheduling.schedules.models import Miss, MissReason, Schedule
from scheduling.schedules.rules import ACCOUNTED_FOR_EVER, rule_of, seen_until

logger = structlog.get_logger(__name__)

AT_MOST = 10_000  # occurrences looked for before a change
SPEND = 0.5  # seconds to compute them
# What values raise that name nothing: rules that are not valid any more, and rows that were written by hand.
UNCOMPUTABLE = (ValueError, TypeError, AttributeError, ArithmeticError)

_SMALLEST = timedelta(microseconds=1)

# Purpose: the occurrences that have neither a run nor a miss. Index: run_occurrence_unique, run_check_unique, the
# schedule's misses. Locks: none.
_HOLES = """
SELECT asked.schedule_id, asked.at
FROM unnest(%s::uuid[], %s::timestamptz[]) AS asked (schedule_id, at)
WHERE NOT EXISTS (
    SELECT FROM scheduling_run run
    WHERE run.schedule_id = asked.schedule_id AND run.scheduled_for = asked.at AND run.trigger_kind = 'schedule'
) AND NOT EXISTS (
    SELECT FROM scheduling_run run
    WHERE run.schedule_id = asked.schedule_id AND run.scheduled_for = asked.at AND run.trigger_kind = 'check'
) AND NOT EXISTS (
    SELECT FROM scheduling_miss miss
    WHERE miss.schedule_id = asked.schedule_id AND asked.at >= miss.first_at AND asked.at <= miss.last_at
)
"""


@dataclass(frozen=True, slots=True)
class Stretch:
    """What is to be looked for: `occurrences` of the schedule, all of them up to `until`. `is_cut`: a limit came first,
    and there is more."""

    schedule: Schedule
    occurrences: list[datetime]
    until: datetime
    is_cut: bool


def stretch_of(schedule: Schedule, *, now: datetime, limit: int, ends_at: float) -> Stretch | None:
    """The occurrences after what was seen, and before the mark; of a completed schedule, those before now. None where
    there is nothing to look for yet.

    At most `limit`, and no second one once the monotonic clock has come to `ends_at`: a dear rule takes milliseconds
    for each. Raises what the rule does where it cannot be read any more.
    """
    since = seen_until(schedule)
    is_over = schedule.next_fire_at is None
    end = _end_of_completed(schedule, since, now) if is_over else schedule.next_fire_at
    assert end is not None, "a schedule has a mark, or is over"
    recurrence = _recurrence_since(schedule, since)
    found: list[datetime] = []
    upcoming = recurrence.next_after(since)
    while upcoming is not None and upcoming < end and upcoming <= now:
        found.append(upcoming)
        if len(found) == limit or time.monotonic() >= ends_at:
            return Stretch(schedule, found, upcoming, is_cut=True)
        upcoming = recurrence.next_after(upcoming)
    if upcoming is not None and upcoming < end:
        # A mark that was set too far ahead has passed over what is still to come: that is told when its time has come.
        return Stretch(schedule, found, found[-1], is_cut=False) if found else None
    return Stretch(schedule, found, ACCOUNTED_FOR_EVER if is_over else end - _SMALLEST, is_cut=False)


def _recurrence_since(schedule: Schedule, since: datetime) -> Recurrence:
    """The compiled rule, one for all rules that occur alike from there on."""
    rule = rule_of(schedule)
    anchor = settled_anchor(rule.kind, rule.expression, rule.starts_at, since=since)
    return compile_rule(replace(rule, starts_at=anchor))


def _end_of_completed(schedule: Schedule, after: datetime, now: datetime) -> datetime:
    """One that has had as many runs as it may ended with the last of them, whatever its rule goes on to say."""
    if schedule.remaining != 0:
        return now
    return after if schedule.last_fired_at is None else schedule.last_fired_at + _SMALLEST


def holes_among(cursor: Any, stretches: Sequence[Stretch]) -> dict[UUID, list[datetime]]:
    asked = [(stretch.schedule.pk, at) for stretch in stretches for at in stretch.occurrences]
    if not asked:
        return {}
    cursor.execute(_HOLES, [[id_ for id_, _ in asked], [at for _, at in asked]])
    holes: dict[UUID, list[datetime]] = {}
    for id_, at in sorted(cursor.fetchall()):
        holes.setdefault(id_, []).append(at.astimezone(UTC))
    return holes


def account_for_past(schedules: Sequence[Schedule], *, now: datetime) -> None:
    """Look for the holes that the marks have left behind, by the rules as they are, and tell of them: whoever changes
    what a rule names does this first, since the auditor would judge the past by what is named then.

    Sets columns; the caller saves. Requires a transaction that holds the rows. Bounded: `AT_MOST` occurrences and
    `SPEND` seconds between all of them, with a share for each. Of what cannot be looked at a warning tells.
    """
    ends_at = time.monotonic() + SPEND
    unseen = [schedule for schedule in schedules if has_unseen(schedule)]
    stretches: list[Stretch] = []
    left = AT_MOST
    for number, schedule in enumerate(unseen):
        try:
            stretch = stretch_of(schedule, now=now, limit=max(1, left // (len(unseen) - number)), ends_at=ends_at)
        except UNCOMPUTABLE as error:
            warn_of_unseen(schedule, repr(error))
            continue
        if stretch is not None:
            stretches.append(stretch)
            left -= len(stretch.occurrences)
            if stretch.is_cut:
                warn_of_unseen(schedule, "too many to look for before a change", since=stretch.until)
    if not stretches:
        return
    with connection.cursor() as cursor:
        holes = holes_among(cursor, stretches)
    for stretch in stretches:
        schedule = stretch.schedule
        schedule.accounted_until = stretch.until
        missing = holes.get(schedule.pk)
        if missing:
            schedule.missed_count += len(missing)
            transaction.on_commit(partial(_announce_to_all, tell(stretch, missing)), robust=True)


def has_unseen(schedule: Schedule) -> bool:
    """True where its mark has moved, or it was completed, since its occurrences were looked for."""
    seen, mark = seen_until(schedule), schedule.next_fire_at
    return seen < ACCOUNTED_FOR_EVER if mark is None else seen < mark - _SMALLEST


def warn_of_unseen(schedule: Schedule, detail: str, *, since: datetime | None = None) -> None:
    """Say that from `since` (None: from what was seen) up to the mark nobody will look for holes, where there is
    something to look for."""
    if has_unseen(schedule):
        logger.warning(
            "schedule.not_audited",
            schedule=str(schedule.pk),
            since=(since or seen_until(schedule)).isoformat(),
            mark=None if schedule.next_fire_at is None else schedule.next_fire_at.isoformat(),
            detail=detail[:300],
        )


def _announce_to_all(event: Event) -> None:
    announce(event)
    with transaction.atomic():
        hear(event)


def announce(event: Event) -> None:
    """Say and count what `tell` has written, when that is committed."""
    metrics.DID_NOT_RUN.inc(event.payload["count"])
    logger.warning(DID_NOT_RUN, **event.payload)


def tell(stretch: Stretch, missing: Sequence[datetime]) -> Event:
    """Write one miss for each contiguous part, and one event for all of them, on its way out; return the event, for
    `announce` and for who listens. Requires an open transaction."""
    schedule = stretch.schedule
    for part in _contiguous(stretch.occurrences, missing):
        Miss.objects.create(
            schedule=schedule, first_at=part[0], last_at=part[-1], count=len(part), reason=MissReason.UNACCOUNTED
        )
    facts = {
        "schedule": str(schedule.pk),
        "task": str(schedule.task_id),
        "first_at": missing[0].isoformat(),
        "last_at": missing[-1].isoformat(),
        "count": len(missing),
    }
    return store(topic=DID_NOT_RUN, payload=facts, agent_id=None, depth=0, is_unheard=True)


def _contiguous(occurrences: Sequence[datetime], missing: Sequence[datetime]) -> list[list[datetime]]:
    """The missing ones, divided where there is an occurrence between them that is accounted for."""
    lost = set(missing)
    return [list(part) for is_lost, part in groupby(occurrences, key=lost.__contains__) if is_lost]
