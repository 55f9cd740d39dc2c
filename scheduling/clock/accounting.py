"""The clock's auditor: an occurrence that the mark has passed has a run or a miss, or else it *did not run*.

The pass moves a schedule's mark together with its runs and misses, so a hole cannot come of it; a restored table, a
hand-made UPDATE or a mistake of ours can make one. This job recomputes the occurrences between what was seen before
(`accounted_until`) and the mark, independently of the pass, and looks for each. A hole is told once: a warning, the
metric `ordinaut_clock_did_not_run`, an event `schedule.did_not_run`, and a miss with the reason `unaccounted`.

No false alarm: whoever moves a mark on purpose (a new schedule, an edit, the end of a pause) sets `accounted_until`
with it (`set_mark`), and has written the miss, where there is one, in the same transaction. The pass commits runs,
misses and mark at once, so that what is read after the mark sees all that belongs to it. Before anything is told, the
schedule is locked, and must be as it was read.

Bounded at any size: it walks the primary key in windows, for a fraction of a second each time, and goes on from there
the next time. A walk over 1,000,000 schedules takes some minutes; each clock walks on its own.
"""

import time
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import structlog

from scheduling.clock import metrics, session
from scheduling.clock.overdue import Overdue, tell_each_overdue, tell_overdue
from scheduling.schedules.holes import holes_among, stretch_of, tell
from scheduling.schedules.models import Schedule
from scheduling.schedules.rules import ACCOUNTED_FOR_EVER, load_calendars
from scheduling.triggers.events import start_runs_of

logger = structlog.get_logger(__name__)

WINDOW = 20_000  # schedules looked over by one statement
BATCH = 500  # schedules recomputed at once
SPEND = 0.5  # seconds a round
_FIRST_ID = UUID(int=0)

# Purpose: the last id of the next window. Index: primary key. Locks: none.
_END_OF_WINDOW = """
SELECT id FROM (SELECT id FROM scheduling_schedule WHERE id > %s ORDER BY id LIMIT %s) AS looked_over
ORDER BY id DESC LIMIT 1
"""

# Purpose: those of a window whose mark has moved since they were looked at, in any state: retention keeps for each what
# has not been looked at (delete_runs, prune_misses). Index: primary key. Locks: none.
_MOVED = """
SELECT id FROM scheduling_schedule
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
            holes += account_for(moved)
            self._after = moved[-1] if len(moved) == BATCH else last
        return holes


_auditor = Auditor()
_latest: list[Overdue] = []


def audit() -> int:
    """The housekeeping job: what is overdue, by count and by name, and one round of the walk. Returns how many
    occurrences were told."""
    _latest[:] = [tell_overdue()]
    return tell_each_overdue() + _auditor.round()


def latest_overdue() -> Overdue | None:
    """What this process saw last; None where it does not look."""
    return _latest[-1] if _latest else None


def account_for(ids: Sequence[UUID]) -> int:
    """Look for the occurrences of these schedules that the mark has passed; tell of those that did not run."""
    schedules = list(Schedule.objects.filter(pk__in=ids).order_by("pk"))
    load_calendars(schedules)
    with session.bounded() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        (now,) = cursor.fetchone()
    stretches = [stretch for schedule in schedules if (stretch := stretch_of(schedule, now)) is not None]
    if not stretches:
        return 0
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
    # Runs that wait for these events start afterwards: tasks are locked before schedules everywhere.
    for event in told:
        with session.bounded():
            start_runs_of(event)
    found = sum(len(missing) for missing in holes.values())
    metrics.DID_NOT_RUN.inc(found)
    return found


def _end_of_window(after: UUID) -> UUID | None:
    with session.bounded() as cursor:
        cursor.execute(_END_OF_WINDOW, [after, WINDOW])
        row = cursor.fetchone()
    return None if row is None else row[0]


def _moved(after: UUID, last: UUID) -> list[UUID]:
    with session.bounded() as cursor:
        cursor.execute(_MOVED, [after, last, ACCOUNTED_FOR_EVER, BATCH])
        return [id_ for (id_,) in cursor.fetchall()]


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
