"""New rules of time zones: marks that were computed by the old ones are computed again.

A schedule's mark is an instant; when a government changes its clocks, and the zone data is updated, the wall time that
it stood for is another instant. The release of the data that marks agree with is told by the newest event
`zones.updated`. A clock that carries a later one moves the marks that are still to come, once, and says so. Of what is
due already the pass finds out (`scheduling.clock.strays`); what has passed is history, and is not judged by the new
rules. A clock that carries an older release (while an update is rolled out) moves nothing, and does not audit.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from importlib import import_module
from uuid import UUID

import structlog
from django.db import DataError

from scheduling.audit.operations import Actor, record
from scheduling.clock import session
from scheduling.core.recurrence import ScheduleError
from scheduling.events.models import Event
from scheduling.events.operations import publish
from scheduling.events.topics import ZONES_UPDATED
from scheduling.housekeeping import alone
from scheduling.instants import database_now
from scheduling.schedules.holes import UNCOMPUTABLE, has_unseen, warn_of_unseen
from scheduling.schedules.models import WAITING_KINDS, Schedule, ScheduleState
from scheduling.schedules.rules import ACCOUNTED_FOR_EVER, account_up_to_mark, load_calendars, recurrence_of, set_mark
from scheduling.wakeup import SCHEDULES_CHANNEL, after_commit

logger = structlog.get_logger(__name__)

BATCH = 500

_RELEASE = re.compile(r"\d{4}[a-z]{1,2}", re.ASCII)
_FIRST_ID = UUID(int=0)
_ACTOR = Actor.system("clock")

# What this process has seen to be applied; its own data does not change while it lives.
_applied: set[str] = set()


def carried_release() -> str:
    """The release of the data that this process plans by, such as `2025b`."""
    return str(import_module("tzdata").IANA_VERSION)


def is_outdated() -> bool:
    """True where marks agree with a later release than the one that this process plans by."""
    known = _known_release()
    return known is not None and known > carried_release()


def apply_zone_data(release: str | None = None) -> int:
    """Move the marks that the zone data of `release` (None: the carried one) sees elsewhere; return how many.

    Nothing is done where the marks agree with this release, or with a later one. Opens its own transactions, one a
    batch: interrupted, it begins again, and two clocks that do it at once move each mark once.
    """
    release = release or carried_release()
    if release in _applied:
        return 0
    known = _known_release()
    if known is not None and known >= release:
        _applied.add(release)
        return 0
    moved = _move_all(is_first=known is None)
    with alone("zone_data") as is_alone:
        if is_alone and _known_release() == known:
            _remember(release, known, moved)
            _applied.add(release)
    return moved


def _remember(release: str, known: str | None, moved: int) -> None:
    """The first release of an installation, with which all marks agree, is no news and is told to nobody."""
    facts = {"release": release, "before": known or "", "moved": moved}
    if known is None and not moved:
        Event.objects.create(topic=ZONES_UPDATED, payload=facts)
        return
    publish(actor=_ACTOR, topic=ZONES_UPDATED, payload=facts)
    logger.warning(ZONES_UPDATED, **facts)


def _known_release() -> str | None:
    """What our own newest event says: nobody else publishes on the topic."""
    newest = Event.objects.filter(topic=ZONES_UPDATED, agent=None).order_by("-created_at", "-id").first()
    found = "" if newest is None else str(newest.payload.get("release", ""))
    return found if _RELEASE.fullmatch(found) else None


def _move_all(*, is_first: bool) -> int:
    moved, after = 0, _FIRST_ID
    while True:
        now = database_now()
        ids = list(
            Schedule.objects.filter(pk__gt=after)
            .exclude(timezone="UTC")
            .exclude(kind__in=WAITING_KINDS)
            .exclude(state=ScheduleState.COMPLETED, accounted_until=ACCOUNTED_FOR_EVER)
            .order_by("pk")
            .values_list("pk", flat=True)[:BATCH]
        )
        if not ids:
            return moved
        schedules = _read(ids)
        load_calendars(schedules)
        concerned = [each for each in schedules if _lies_elsewhere(each, now) or (not is_first and has_unseen(each))]
        if concerned:
            moved += _move(concerned)
        after = ids[-1]


def _read(ids: Sequence[UUID]) -> list[Schedule]:
    """Those of the schedules that can be read. One that cannot be, by values that were written by hand, keeps no other
    from it; the pass sets it aside when it is due."""
    try:
        return list(Schedule.objects.filter(pk__in=ids).order_by("pk"))
    except (DataError, *UNCOMPUTABLE) as error:
        if len(ids) == 1:
            logger.warning("schedule.not_moved", schedule=str(ids[0]), detail=repr(error)[:300])
            return []
    middle = len(ids) // 2
    return [*_read(ids[:middle]), *_read(ids[middle:])]


def _lies_elsewhere(schedule: Schedule, now: datetime) -> bool:
    """True where the mark lies ahead, and its place is another by the present rules. A rule that cannot be read any
    more, or that never occurs any more, is left for the pass to quarantine; one that is quarantined gets its mark when
    it is resumed."""
    is_ahead = schedule.next_fire_at is not None and schedule.next_fire_at > now
    if not is_ahead or schedule.state == ScheduleState.QUARANTINED:
        return False
    try:
        return recurrence_of(schedule).require_next(now) != schedule.next_fire_at
    except UNCOMPUTABLE as error:
        if not isinstance(error, ScheduleError):
            logger.warning("schedule.not_moved", schedule=str(schedule.pk), detail=repr(error)[:300])
        return False


def _move(schedules: Sequence[Schedule]) -> int:
    """Lock those that still are as they were read, and move their marks. One transaction."""
    versions = {schedule.pk: schedule.version for schedule in schedules}
    moved = 0
    with session.bounded():
        now = database_now()
        for schedule in Schedule.objects.select_for_update(no_key=True).filter(pk__in=versions).order_by("pk"):
            if schedule.version != versions[schedule.pk]:
                continue
            before = schedule.next_fire_at
            # The rules that it has been fired by went with the older data; the new ones may name other instants.
            warn_of_unseen(schedule, "the zone data has changed")
            account_up_to_mark(schedule)
            if _lies_elsewhere(schedule, now):
                set_mark(schedule, recurrence_of(schedule).next_after(now))
                schedule.version += 1
                record(
                    actor=_ACTOR,
                    action="schedule.move",
                    target=schedule,
                    before={"next_fire_at": _text(before)},
                    after={"next_fire_at": _text(schedule.next_fire_at)},
                )
                moved += 1
            schedule.save(force_update=True)
        after_commit(SCHEDULES_CHANNEL)
    return moved


def _text(instant: datetime | None) -> str | None:
    return None if instant is None else instant.isoformat()
