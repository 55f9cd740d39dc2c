"""iCalendar text into days and spans. Pure, and bounded whatever the text says.

The library reads the text; recurrences are expanded by our own rules, whose next occurrence costs little however old
or odd they are: a calendar is hostile input, and libraries step through what a rule passes over. What repeats within
a day is refused, and so is a calendar that holds more than schedules can be asked to leave out.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from scheduling.core.recurrence import Exclusions, Rule, ScheduleError, compile_rule
from scheduling.core.recurrence.exclusions import MAX_STRETCHES
from scheduling.core.recurrence.zones import get_zone

MAX_TEXT = 256 * 1024
MAX_LINES = 20_000
MAX_EVENTS = 1_000
MAX_RECURRING = 200
MAX_OCCURRENCES = 4_000
MAX_DAYS = 3_660

_BEHIND, _AHEAD = timedelta(days=366), timedelta(days=2 * 366)
_YEARS = (1900, 9800)  # the longest event that begins in them ends in a year that schedules know
_WITHIN_A_DAY = re.compile(r"(?:^|;)(?:FREQ=(?:HOURLY|MINUTELY|SECONDLY)|BY(?:HOUR|MINUTE|SECOND)=[^;]*,)", re.I)
# Zones are named, not described: what a VTIMEZONE says would be expanded by the library, without a bound.
_ZONE_DESCRIPTION = re.compile(r"^BEGIN:VTIMEZONE\s*$.*?^END:VTIMEZONE\s*$", re.M | re.S | re.I)


_KINDS = {"DTSTART": date, "DTEND": date, "RECURRENCE-ID": date, "DURATION": timedelta}


class CalendarTextError(ValueError):
    """The text is no calendar, or asks for too much. `code` is stable; `detail` and `hint` are for people."""

    def __init__(self, code: str, detail: str, hint: str | None = None) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Expansion:
    """What the text excludes. `until`: recurring events go on after it; None: nothing was left unexpanded."""

    days: frozenset[date] = frozenset()
    spans: tuple[tuple[datetime, datetime], ...] = ()
    until: datetime | None = None


@dataclass(slots=True, kw_only=True)
class _Event:
    """An event's own words. `start` is local (midnight of an all-day one); `left_out` are local times of its rule."""

    name: str
    zone: str
    is_all_day: bool
    start: datetime
    length: timedelta
    rule: str
    left_out: list[datetime] = field(default_factory=list)
    added: list[datetime] = field(default_factory=list)
    is_nominal: bool = False  # its length was given as a DURATION, whose days are those of the calendar
    periods: dict[datetime, tuple[timedelta, bool]] = field(default_factory=dict)  # of instants with one of their own
    uid: str = ""
    replaces: date | datetime | None = None  # as it is written, which may be in another zone than the replaced event's

    def end_of(self, start: datetime) -> datetime:
        """When an occurrence ends that begins at this instant. A day of a DURATION ends at the same local time on the
        next one, whatever the zone does in between (RFC 5545, 3.3.6 and 3.8.5.3); a DTEND gives an exact length."""
        length, is_nominal = self.periods.get(start, (self.length, self.is_nominal))
        if not is_nominal or length < timedelta(days=1):
            return start + length
        wall = get_zone(self.zone).to_wall(start) + timedelta(days=length.days)
        return _instant(wall, self.zone) + timedelta(seconds=length.seconds)


def expand(text: str, *, now: datetime) -> Expansion:
    """The days of all-day events and the spans of timed ones: recurring ones from a year back to two years ahead.

    Cancelled events exclude nothing, nor do timed ones without an end. Raises CalendarTextError.
    """
    if not text.strip():
        return Expansion()
    events = list(_events(text))
    _apply_replacements(events)
    if sum(bool(event.rule) for event in events) > MAX_RECURRING:
        raise CalendarTextError("too_many_events", f"The calendar has more than {MAX_RECURRING} recurring events.")
    days: set[date] = set()
    spans: list[tuple[datetime, datetime]] = []
    goes_on = False
    days_named = 0  # by any event, once for each
    left = MAX_OCCURRENCES
    for event in events:
        try:
            starts, has_more = _starts(event, now, left)
        except ScheduleError as error:
            raise CalendarTextError(error.code, f"{event.name}: {error.detail}.", error.hint) from error
        goes_on = goes_on or has_more
        left -= len(starts)
        if not event.is_all_day:
            ends = ((start, event.end_of(start)) for start in starts)
            spans.extend((start, end) for start, end in ends if end > start)
            continue
        of_event = _days(event, starts)
        days_named += len(of_event)
        days.update(of_event)
        if len(days) > MAX_DAYS or days_named > 10 * MAX_DAYS:
            raise too_many_days()
    return Expansion(days=frozenset(days), spans=tuple(spans), until=now + _AHEAD if goes_on else None)


def _days(event: _Event, starts: Iterable[datetime]) -> list[date]:
    """The days of an all-day event, each once, though its occurrences may overlap. CalendarTextError for too many."""
    named: list[date] = []
    for start in starts:
        first = start.date() if not named else max(start.date(), named[-1] + timedelta(days=1))
        behind = start.date() + event.length
        named.extend(first + timedelta(days=at) for at in range((behind - first).days))
        if len(named) > MAX_DAYS:
            raise too_many_days()
    return named


def require_few(exclusions: Exclusions) -> None:
    """CalendarTextError where a search would have to jump too often."""
    if exclusions.stretches > MAX_STRETCHES:
        raise CalendarTextError(
            "too_many_stretches",
            f"The calendar has {exclusions.stretches} separate days and spans; at most {MAX_STRETCHES} are allowed.",
            "Days in a row and spans that touch count as one.",
        )


def too_many_days() -> CalendarTextError:
    return CalendarTextError("too_many_days", f"A calendar excludes at most {MAX_DAYS} days.")


def _events(text: str) -> Iterator[_Event]:
    import icalendar  # here: half a second of start-up that only this needs

    if len(text.encode()) > MAX_TEXT:
        raise CalendarTextError("too_large", f"The text is larger than {MAX_TEXT} bytes.")
    if text.count("\n") > MAX_LINES:
        raise CalendarTextError("too_large", f"The text has more than {MAX_LINES} lines.")
    if text.upper().count("BEGIN:VEVENT") > MAX_EVENTS:
        raise CalendarTextError("too_many_events", f"The calendar has more than {MAX_EVENTS} events.")
    try:
        calendar = icalendar.Calendar.from_ical(_ZONE_DESCRIPTION.sub("", text))
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError, RecursionError) as error:
        # The library answers malformed text with all of these.
        detail = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise CalendarTextError("invalid_calendar", f"This is no iCalendar text: {detail}") from error
    if calendar.name != "VCALENDAR":
        raise CalendarTextError(
            "invalid_calendar", "This is no iCalendar text: it does not begin with BEGIN:VCALENDAR."
        )
    default_zone = str(calendar.get("X-WR-TIMEZONE", "")) or None
    for number, component in enumerate(calendar.walk("VEVENT"), start=1):
        name = f"Event {number} ({str(component.get('SUMMARY', component.get('UID', '')))[:60]})"
        if str(component.get("STATUS", "")).upper() == "CANCELLED" and "RECURRENCE-ID" not in component:
            continue
        try:
            yield _read(component, name, default_zone)
        except ScheduleError as error:
            raise CalendarTextError(error.code, f"{name}: {error.detail}.", error.hint) from error


def _read(component: Any, name: str, default_zone: str | None) -> _Event:
    if component.errors:
        where, why = component.errors[0]
        raise CalendarTextError("invalid_event", f"{name}: {where} cannot be read: {str(why)[:160]}")
    for once in ("DTSTART", "DTEND", "DURATION", "RRULE", "RECURRENCE-ID", "UID"):
        if isinstance(component.get(once), list):
            raise CalendarTextError("invalid_event", f"{name}: {once} is given more than once.")
    if "DTSTART" not in component:
        raise CalendarTextError("invalid_event", f"{name}: DTSTART is missing.")
    for prop, kind in _KINDS.items():
        if prop in component and not isinstance(getattr(component[prop], "dt", None), kind):
            raise CalendarTextError("invalid_event", f"{name}: {prop} is not what it should be.")
    given = component["DTSTART"].dt
    is_all_day = not isinstance(given, datetime)
    zone = "UTC" if is_all_day else _zone_of(component["DTSTART"], name, default_zone)
    rule = component["RRULE"].to_ical().decode() if "RRULE" in component else ""
    if _WITHIN_A_DAY.search(rule):
        raise CalendarTextError(
            "too_frequent",
            f"{name}: what repeats more than once a day cannot be excluded by a calendar: RRULE:{rule[:80]}",
            "Give the schedule another rule instead.",
        )
    replaced = component.get("RECURRENCE-ID")
    if replaced is not None and "RANGE" in replaced.params:
        raise CalendarTextError("not_supported", f"{name}: RECURRENCE-ID with RANGE is not read.")
    start = _wall(given, zone, given)
    is_cancelled = str(component.get("STATUS", "")).upper() == "CANCELLED"
    return _Event(
        name=name,
        zone=zone,
        is_all_day=is_all_day,
        start=start,
        length=timedelta(0) if is_cancelled else _length(component, given, zone, name),
        rule=rule,
        left_out=_dates(component, "EXDATE", zone, given),
        added=_dates(component, "RDATE", zone, given),
        is_nominal="DTEND" not in component,
        periods={} if is_all_day else dict(_periods(component, zone, name)),
        uid=str(component.get("UID", "")),
        replaces=None if replaced is None else replaced.dt,
    )


def _zone_of(moment: Any, name: str, default_zone: str | None) -> str:
    """The IANA name of a time's zone. A time without one is the calendar's own, X-WR-TIMEZONE; else it is refused:
    it would be another instant for each reader."""
    if moment.dt.tzinfo is not None:
        key = getattr(moment.dt.tzinfo, "key", None)
        if key is None or key.upper() == "UTC":
            return "UTC"
        return get_zone(key).name
    named = moment.params.get("TZID")
    if named is not None:
        raise CalendarTextError(
            "unknown_timezone", f"{name}: {str(named)[:64]!r} is not an IANA time zone name.", "Name a place."
        )
    if default_zone is None:
        raise CalendarTextError(
            "floating_time",
            f"{name}: its time has no zone.",
            "Write it in UTC or with TZID, or give the calendar an X-WR-TIMEZONE.",
        )
    return get_zone(default_zone).name


def _length(component: Any, given: date | datetime, zone: str, name: str) -> timedelta:
    is_all_day = not isinstance(given, datetime)
    length = timedelta(days=1 if is_all_day else 0)
    if "DTEND" in component:
        end = component["DTEND"].dt
        if isinstance(end, datetime) is is_all_day:
            raise CalendarTextError("invalid_event", f"{name}: DTSTART and DTEND are of different kinds.")
        length = _instant(end, zone) - _instant(given, zone)
    elif "DURATION" in component:
        length = component["DURATION"].dt
    if length < timedelta(0):
        raise CalendarTextError("invalid_event", f"{name}: it ends before it starts.")
    if length > timedelta(days=MAX_DAYS):
        raise too_many_days()
    return max(length, timedelta(days=1)) if is_all_day else length


def _dates(component: Any, prop: str, zone: str, start: date | datetime) -> list[datetime]:
    given = component.get(prop, [])
    lists = given if isinstance(given, list) else [given]
    # An RDATE may be a period, of a length of its own.
    return [_wall(_first(each.dt), zone, start) for every in lists for each in every.dts]


def _periods(component: Any, zone: str, name: str) -> Iterator[tuple[datetime, tuple[timedelta, bool]]]:
    """The instants of RDATEs that are periods, with their lengths, and whether these are nominal."""
    given = component.get("RDATE", [])
    for every in given if isinstance(given, list) else [given]:
        for each in every.dts:
            if isinstance(each.dt, tuple):
                start, end = each.dt
                begins = _instant(start, zone)
                length = end if isinstance(end, timedelta) else _instant(end, zone) - begins
                if length < timedelta(0):
                    raise CalendarTextError("invalid_event", f"{name}: a period of RDATE ends before it starts.")
                if length > timedelta(days=MAX_DAYS):
                    raise too_many_days()
                yield begins, (length, isinstance(end, timedelta))


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, tuple) else value


def _apply_replacements(events: Iterable[_Event]) -> None:
    """An event with RECURRENCE-ID takes the place of that occurrence of the event with its UID."""
    moved: dict[str, list[date | datetime]] = {}
    for event in events:
        if event.replaces is not None:
            moved.setdefault(event.uid, []).append(event.replaces)
    for event in events:
        if event.replaces is None:
            first = event.start.date() if event.is_all_day else event.start
            event.left_out.extend(_wall(each, event.zone, first) for each in moved.get(event.uid, []))


def _starts(event: _Event, now: datetime, limit: int) -> tuple[list[datetime], bool]:
    """The instants at which it begins, at most `limit`, and whether it goes on after what is expanded."""
    if event.replaces is not None and not event.length:
        return [], False
    walls = {event.start, *event.added}
    _within(event, walls, limit)
    # As instants: a time in a gap is written as one local time, and left out as another.
    starts = {_instant(wall, event.zone) for wall in walls} - {_instant(wall, event.zone) for wall in event.left_out}
    if not event.rule:
        return _within(event, starts, limit), False
    recurrence = compile_rule(
        Rule(
            kind="rrule",
            expression=event.rule,
            timezone=event.zone,
            starts_at=event.start,
            exdates=tuple(sorted(set(event.left_out))),
        )
    )
    end = now + _AHEAD
    following = recurrence.next_after(now - _BEHIND - event.length)
    while following is not None and following < end and len(starts) <= limit:
        starts.add(following)
        following = recurrence.next_after(following)
    return _within(event, starts, limit), following is not None


def _within(event: _Event, starts: Iterable[datetime], limit: int) -> list[datetime]:
    """The starts in order, or CalendarTextError where there are more than `limit`."""
    ordered = sorted(starts)
    if len(ordered) > limit:
        raise CalendarTextError(
            "too_many_occurrences", f"{event.name}: the calendar has more than {MAX_OCCURRENCES} occurrences."
        )
    return ordered


def _wall(value: date | datetime, zone: str, start: date | datetime) -> datetime:
    """A date or time as local time of the event's zone; a bare date of a timed event is the day at its time."""
    _require_year(value)
    if not isinstance(start, datetime):
        return datetime(value.year, value.month, value.day)  # of a day, wherever it is one
    if not isinstance(value, datetime):
        return datetime.combine(value, start.time())
    return value if value.tzinfo is None else get_zone(zone).to_wall(value)


def _require_year(value: date | datetime) -> None:
    if not _YEARS[0] <= value.year < _YEARS[1]:
        raise ScheduleError(
            "invalid_datetime", f"The year must be between {_YEARS[0]} and {_YEARS[1] - 1}", field="expression"
        )


def _instant(value: date | datetime, zone: str) -> datetime:
    _require_year(value)
    if not isinstance(value, datetime):
        return datetime.combine(value, time(), UTC)
    if value.tzinfo is not None:
        return value.astimezone(UTC)
    return get_zone(zone).resolve(value, gap="shift", fold="first")[0].replace(tzinfo=UTC)
