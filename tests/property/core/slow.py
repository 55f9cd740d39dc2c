"""A slow, obvious check of one occurrence: does this instant satisfy the rule? It counts nothing and searches nothing.

It reads the rule's words anew and asks zoneinfo what the wall clock shows; nothing here comes from the recurrence.
"""

import calendar
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
# How far clocks go forward: from Lord Howe to the day that Apia left out. One instant back is still before it.
GAPS = [timedelta(minutes=at) for at in (30, 60, 120, 1440)]
UNITS = {"HOURLY": 3600, "MINUTELY": 60, "SECONDLY": 1}


def exists(wall: datetime, info: ZoneInfo) -> bool:
    return wall.replace(tzinfo=info).astimezone(UTC).astimezone(info).replace(tzinfo=None, fold=0) == wall


def walls_of(at: datetime, zone: str, gap: str) -> Iterator[datetime]:
    """The wall times that an occurrence at an instant may stand for: what the clock shows, or a gap moved here."""
    info = ZoneInfo(zone)
    shown = at.astimezone(info).replace(tzinfo=None, fold=0)
    yield shown
    if gap == "shift":
        for length in GAPS:
            unmoved = at.replace(tzinfo=None) + _offset(at - length, info)
            if unmoved < shown and not exists(unmoved, info):
                yield unmoved
    if gap == "next":
        missing = at.replace(tzinfo=None) + _offset(at - timedelta(seconds=1), info)
        while missing < shown:
            yield missing
            missing += timedelta(seconds=1)


def _offset(at: datetime, info: ZoneInfo) -> timedelta:
    offset = at.astimezone(info).utcoffset()
    assert offset is not None
    return offset


def numbers(text: str) -> set[int]:
    return {int(item) for item in text.split(",")}


def is_counted(freq: str, interval: int, day: date, anchor: date, week_start: int) -> bool:
    """Whether INTERVAL counts the day, week, month or year of a date."""
    if freq == "DAILY":
        return (day - anchor).days % interval == 0
    if freq == "WEEKLY":
        monday, first = (at - timedelta(days=(at.weekday() - week_start) % 7) for at in (day, anchor))
        return (monday - first).days // 7 % interval == 0
    if freq == "MONTHLY":
        return ((day.year - anchor.year) * 12 + day.month - anchor.month) % interval == 0
    return (day.year - anchor.year) % interval == 0


def is_weekday(day: date, names: str, freq: str, has_months: bool) -> bool:
    first, last = day.replace(day=1), day.replace(day=calendar.monthrange(day.year, day.month)[1])
    if freq == "YEARLY" and not has_months:
        first, last = date(day.year, 1, 1), date(day.year, 12, 31)
    same = [first + timedelta(days=at) for at in range((last - first).days + 1)]
    same = [at for at in same if at.weekday() == day.weekday()]
    for name in names.split(","):
        position = int(name[:-2] or 0)
        if name[-2:] != WEEKDAYS[day.weekday()]:
            continue
        if not position or (abs(position) <= len(same) and same[position - (position > 0)] == day):
            return True
    return False


def satisfies(expression: str, at: datetime, zone: str, anchor: datetime, gap: str) -> bool:
    """Whether an RRULE without BYSETPOS, BYWEEKNO and BYYEARDAY names an instant, from a local anchor on."""
    return any(_satisfies(expression, wall, at, zone, anchor) for wall in walls_of(at, zone, gap))


def _satisfies(expression: str, wall: datetime, at: datetime, zone: str, anchor: datetime) -> bool:
    parts = dict(part.split("=") for part in expression.split(";"))
    freq, interval = parts["FREQ"], int(parts.get("INTERVAL", 1))
    defaults = _defaults(parts, freq, anchor)
    month_length = calendar.monthrange(wall.year, wall.month)[1]
    named = {**defaults, **parts}
    checks = [
        "BYMONTH" not in named or wall.month in numbers(named["BYMONTH"]),
        "BYMONTHDAY" not in named or bool({wall.day, wall.day - month_length - 1} & numbers(named["BYMONTHDAY"])),
        "BYDAY" not in named or is_weekday(wall.date(), named["BYDAY"], freq, "BYMONTH" in parts),
        "BYHOUR" not in named or wall.hour in numbers(named["BYHOUR"]),
        "BYMINUTE" not in named or wall.minute in numbers(named["BYMINUTE"]),
        "BYSECOND" not in named or wall.second in numbers(named["BYSECOND"]),
    ]
    if freq in UNITS:
        start = anchor.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
        return all(checks) and at >= start and _is_counted_unit(parts, at, start, wall)
    week_start = WEEKDAYS.index(parts.get("WKST", "MO"))
    return all(checks) and wall >= anchor and is_counted(freq, interval, wall.date(), anchor.date(), week_start)


def _is_counted_unit(parts: dict[str, str], at: datetime, start: datetime, wall: datetime) -> bool:
    """Elapsed time, in wholes of the smallest unit that the rule does not name."""
    freq = parts["FREQ"]
    grain = 1
    if freq == "HOURLY" and "BYMINUTE" in parts:
        grain = 3600
    elif freq != "SECONDLY" and "BYSECOND" in parts:
        grain = 60
    offset = wall - at.replace(tzinfo=None)
    now, then = (
        ((instant.replace(tzinfo=None) + offset - datetime(1970, 1, 1)) // timedelta(seconds=grain)) * grain
        for instant in (at, start)
    )
    return (now - then) % (int(parts.get("INTERVAL", 1)) * UNITS[freq]) == 0


def _defaults(parts: dict[str, str], freq: str, anchor: datetime) -> dict[str, str]:
    """What the rule leaves open comes from the anchor."""
    found: dict[str, str] = {}
    if freq in UNITS:
        return {"BYSECOND": str(anchor.second)} if freq == "HOURLY" and "BYMINUTE" in parts else found
    found |= {"BYHOUR": str(anchor.hour), "BYMINUTE": str(anchor.minute), "BYSECOND": str(anchor.second)}
    names_days = "BYDAY" in parts or "BYMONTHDAY" in parts
    if freq == "WEEKLY" and "BYDAY" not in parts:
        found["BYDAY"] = WEEKDAYS[anchor.weekday()]
    elif freq in ("MONTHLY", "YEARLY") and not names_days:
        found["BYMONTHDAY"] = str(anchor.day)
        if freq == "YEARLY" and "BYMONTH" not in parts:
            found["BYMONTH"] = str(anchor.month)
    return found
