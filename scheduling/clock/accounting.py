"""The clock's auditor: an occurrence that the mark has passed has a run or a miss, or else it *did not run*.

The pass moves a schedule's mark together with its runs and misses, so a hole cannot come of it; a restored table, a
hand-made UPDATE or a mistake of ours can make one. This job recomputes the occurrences between what was seen before
(`accounted_until`) and the mark, independently of the pass, and looks for each. A hole is told once: a warning, the
metric `ordinaut_clock_did_not_run`, an event `schedule.did_not_run`, and a miss with the reason `unaccounted`.

No false alarm: whoever moves a mark has written the miss, where there is one, in the same transaction. Whoever changes
what a rule names (an edit, a calendar) has looked for holes by the old one (`holes.account_for_past`), and sets
`accounted_until` to the mark, so that the past is not judged by the new one; the end of a pause leaves it. The pass
commits runs, misses and mark at once, so that what is read after the mark sees all that belongs to it. Before anything
is told, the schedule is locked, and must be as it was read.

Bounded at any size: it walks the primary key in windows, for SPEND seconds each time, and goes on from there the next
time. A walk over 1,000,000 schedules takes some 5 s of spending where no mark has moved, which are three minutes, and
0.2 ms more for each that has (`docs/decisions/0008-the-pass.md`); each clock walks on its own.
"""

import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import structlog
from django.db import DataError

from scheduling.clock import session
from scheduling.clock.faults import fault_of
from scheduling.clock.hearing import let_hear
from scheduling.clock.isolation import Isolation
from scheduling.clock.overdue import Overdue, tell_each_overdue, tell_overdue
from scheduling.clock.quarantine import quarantine
from scheduling.clock.zones import is_outdated
from scheduling.core.recurrence import ScheduleError
from scheduling.events.models import Event
from scheduling.schedules.holes import UNCOMPUTABLE, Stretch, announce, holes_among, stretch_of, tell
from scheduling.schedules.models import Schedule
from scheduling.schedules.rules import ACCOUNTED_FOR_EVER, load_calendars

logger = structlog.get_logger(__name__)

WINDOW = 20_000  # schedules looked over by one statement
BATCH = 500  # schedules read at once
AT_ONCE = 2_000  # occurrences looked for by one statement
SHARE = 10_000  # occurrences of one schedule in a row, at most: it must not keep the walk from the others
SPEND = 0.5  # seconds a round
_FIRST_ID = UUID(int=0)
# Errors that the values of a row are to blame for.
_OF_THE_ROW = (*UNCOMPUTABLE, DataError)

# Purpose: the last id of the next window. Index: primary key. Locks: none.
_END_OF_WINDOW = """
SELECT id FROM (SELECT id FROM scheduling_schedule WHERE id > %s ORDER BY id LIMIT %s) AS looked_over
ORDER BY id DESC LIMIT 1
"""

# Purpose: those of a window whose mark has moved since they were looked at, in any state: retention keeps for each what
# has not been looked at (delete_runs, prune_misses). Index: primary key. Locks: none.
_MOVED = """
SELECT id, version FROM scheduling_schedule
WHERE id > %s AND id <= %s AND kind NOT IN ('event', 'after')
  AND (state <> 'completed'
           AND next_fire_at > COALESCE(accounted_until, GREATEST(created_at, updated_at)) + interval '1 microsecond'
       OR state = 'completed' AND (accounted_until IS NULL OR accounted_until < %s))
ORDER BY id LIMIT %s
"""

# Purpose: those that still are as they were read. Index: primary key. Locks: the schedules; one that somebody holds is
# looked at again the next time.
_LOCK_UNCHANGED = """
SELECT schedule.id
FROM scheduling_schedule schedule
JOIN unnest(%s::uuid[], %s::timestamptz[], %s::timestamptz[]) AS seen (id, accounted_until, updated_at) USING (id)
WHERE schedule.accounted_until IS NOT DISTINCT FROM seen.accounted_until AND schedule.updated_at = seen.updated_at
ORDER BY schedule.id
FOR NO KEY UPDATE OF schedule SKIP LOCKED
"""

# Purpose: remember how far each was seen. Index: primary key. Locks: rows that are locked already.
_ACCOUNT = """
UPDATE scheduling_schedule schedule
SET accounted_until = seen.until, missed_count = schedule.missed_count + seen.missed
FROM unnest(%s::uuid[], %s::timestamptz[], %s::int[]) AS seen (id, until, missed)
WHERE schedule.id = seen.id
"""


class _Row(NamedTuple):
    """A schedule that is to be looked at, as far as every row can be read."""

    id: UUID
    version: int


class Auditor:
    """Walks over all schedules, again and again; `round()` is one step of the walk."""

    def __init__(self) -> None:
        self._after = _FIRST_ID

    def round(self, *, spend: float = SPEND) -> int:
        """Look over schedules for about `spend` seconds, at most all of them once; return how many occurrences did
        not run. Opens its own transactions."""
        ends_at = time.monotonic() + spend
        began_after, has_wrapped, holes = self._after, False, 0
        while time.monotonic() < ends_at:
            last = _end_of_window(self._after)
            if last is None:
                if has_wrapped or began_after == _FIRST_ID:
                    self._after = _FIRST_ID
                    return holes
                self._after, has_wrapped = _FIRST_ID, True
                continue
            moved = _moved(self._after, last)
            found, reached = account_for(moved, ends_at=ends_at)
            holes += found
            self._after = reached or (moved[-1].id if len(moved) == BATCH else last)
        return holes


_auditor = Auditor()
_latest: list[Overdue] = []


def audit() -> int:
    """The housekeeping job: what is overdue, by count and by name, and one round of the walk. Returns how many
    occurrences were told. What newer zone data names is for the auditor of a clock that has it."""
    _latest[:] = [tell_overdue()]
    return tell_each_overdue() + (0 if is_outdated() else _auditor.round())


def latest_overdue() -> Overdue | None:
    """What this process saw last; None where it does not look."""
    return _latest[-1] if _latest else None


def account_for(rows: Sequence[_Row], *, ends_at: float) -> tuple[int, UUID | None]:
    """Look for the occurrences of these schedules that the mark has passed; tell of those that did not run. Return how
    many, and the schedule with which the time was over (at `ends_at` of the monotonic clock); None where all were
    looked at. One that cannot be read, computed or written is passed over."""
    with session.bounded() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        (now,) = cursor.fetchone()
    reading = Isolation(fire=_read, quarantine=_unreadable, step_over=_unreadable)
    schedules = [schedule for part in reading.run(rows) for schedule in part]
    settling = Isolation(fire=_settle, quarantine=_unsettled, step_over=_unsettled)
    found = 0
    last = None
    for chunk, reached in _chunks(schedules, now, ends_at):
        told = [event for part in settling.run(chunk) for event in part]
        for event in told:
            announce(event)
            found += event.payload["count"]
        # Runs that wait for these events start afterwards: tasks are locked before schedules everywhere.
        let_hear(told)
        last = reached
    return found, None if not schedules or last == schedules[-1].pk else last


def _read(rows: Sequence[_Row]) -> list[Schedule]:
    with session.bounded():
        schedules = list(Schedule.objects.filter(pk__in=[row.id for row in rows]).order_by("pk"))
        load_calendars(schedules)
    return schedules


def _unreadable(row: _Row, error: Exception) -> list[Schedule]:
    _pass_over(row, error)
    return []


def _unsettled(stretch: Stretch, error: Exception) -> list[Event]:
    logger.warning("schedule.not_audited", schedule=str(stretch.schedule.pk), detail=repr(error)[:300])
    return []


def _chunks(schedules: Sequence[Schedule], now: datetime, ends_at: float) -> Iterator[tuple[list[Stretch], UUID]]:
    """What is to be looked for, by as much as is written at once, until the time is over; each with the schedule that
    it reaches to. One that is far behind comes in several chunks, up to its share."""
    chunk: list[Stretch] = []
    room = AT_ONCE
    for schedule in schedules:
        share = SHARE
        while (stretch := _stretch_of(schedule, now, min(room, share), ends_at)) is not None:
            chunk.append(stretch)
            room -= len(stretch.occurrences)
            share -= len(stretch.occurrences)
            if stretch.is_cut:
                yield chunk, schedule.pk
                chunk, room = [], AT_ONCE
                # Not before the chunk was written, which asks whether the row is as it was read.
                schedule.accounted_until = stretch.until
            if not stretch.is_cut or share == 0 or time.monotonic() >= ends_at:
                break
        if time.monotonic() >= ends_at:
            break
    if schedules:
        yield chunk, schedule.pk


def _stretch_of(schedule: Schedule, now: datetime, limit: int, ends_at: float) -> Stretch | None:
    """None also where the rule cannot be read any more: the pass quarantines such a schedule when it comes to it."""
    try:
        return stretch_of(schedule, now=now, limit=limit, ends_at=ends_at)
    except ScheduleError:
        return None
    except Exception as error:
        if fault_of(error).is_everywhere:
            raise
        _pass_over(_Row(schedule.pk, schedule.version), error)
        return None


def _pass_over(row: _Row, error: Exception) -> None:
    """Say that a schedule was left out, and why. An active one whose values are to blame is quarantined, as the pass
    does when it comes to it; a paused one stays paused."""
    reason = f"cannot be audited: {type(error).__name__}: {error}"
    if isinstance(error, _OF_THE_ROW) and quarantine(row.id, row.version, reason):
        return
    logger.warning("schedule.not_audited", schedule=str(row.id), detail=repr(error)[:300])


def _settle(stretches: Sequence[Stretch]) -> list[Event]:
    """Tell of the holes among these, and remember up to where was looked; return the events. One transaction."""
    with session.bounded() as cursor:
        held = _lock_unchanged(cursor, [stretch.schedule for stretch in stretches])
        valid = [stretch for stretch in stretches if stretch.schedule.pk in held]
        holes = holes_among(cursor, valid)
        told = [tell(stretch, holes[stretch.schedule.pk]) for stretch in valid if stretch.schedule.pk in holes]
        cursor.execute(
            _ACCOUNT,
            [
                [stretch.schedule.pk for stretch in valid],
                [stretch.until for stretch in valid],
                [len(holes.get(stretch.schedule.pk, ())) for stretch in valid],
            ],
        )
    return told


def _end_of_window(after: UUID) -> UUID | None:
    with session.bounded() as cursor:
        cursor.execute(_END_OF_WINDOW, [after, WINDOW])
        row = cursor.fetchone()
    return None if row is None else row[0]


def _moved(after: UUID, last: UUID) -> list[_Row]:
    with session.bounded() as cursor:
        cursor.execute(_MOVED, [after, last, ACCOUNTED_FOR_EVER, BATCH])
        return [_Row(*row) for row in cursor.fetchall()]


def _lock_unchanged(cursor: Any, schedules: Sequence[Schedule]) -> set[UUID]:
    cursor.execute(
        _LOCK_UNCHANGED,
        [
            [schedule.pk for schedule in schedules],
            [schedule.accounted_until for schedule in schedules],
            [schedule.updated_at for schedule in schedules],
        ],
    )
    return {id_ for (id_,) in cursor.fetchall()}
