"""Durations and instants as an operator reads them. Pure: `now` is an argument."""

from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

NOTHING = "–"  # noqa: RUF001 (a dash, not a minus)

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))


def duration(span: timedelta | float | None) -> str:
    """`840 ms`, `12.3 s`, `4 min 5 s`, `3 d 2 h`: the two greatest units. None is a dash."""
    if span is None:
        return NOTHING
    seconds = span.total_seconds() if isinstance(span, timedelta) else float(span)
    if seconds < 0:
        return f"-{duration(-seconds)}"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for index, (size, name) in enumerate(_UNITS):
        if whole >= size:
            rest = whole % size
            next_size, next_name = _UNITS[index + 1] if index + 1 < len(_UNITS) else (1, "s")
            return (
                f"{whole // size} {name} {rest // next_size} {next_name}"
                if rest // next_size
                else f"{whole // size} {name}"
            )
    raise AssertionError("a minute is the least unit above seconds")


def since(instant: datetime | None, *, now: datetime) -> str:
    """`4 min 5 s ago`, `in 3 h`; a dash for None."""
    if instant is None:
        return NOTHING
    span = now - instant
    return f"in {duration(-span)}" if span < timedelta(0) else f"{duration(span)} ago"


def moment(instant: datetime | None, zone: tzinfo = UTC) -> str:
    """`2026-03-29 08:30:00 UTC`; a dash for None."""
    if instant is None:
        return NOTHING
    local = instant.astimezone(zone)
    return f"{local:%Y-%m-%d %H:%M:%S} {local.tzname()}"


def local_moment(instant: datetime | None, zone_name: str) -> str:
    """`Sun 2026-03-29 08:30 (Europe/Paris)`, seconds only where there are some; UTC where the zone is unknown."""
    if instant is None:
        return NOTHING
    try:
        zone: tzinfo = ZoneInfo(zone_name)
    except (ZoneInfoNotFoundError, ValueError):
        zone, zone_name = UTC, "UTC"
    local = instant.astimezone(zone)
    clock = f"{local:%H:%M:%S}" if local.second else f"{local:%H:%M}"
    return f"{local:%a %Y-%m-%d} {clock} ({zone_name})"


def size(count: int) -> str:
    """`812 bytes`, `14 KB`, `2.1 MB`."""
    if count < 1000:
        return f"{count} bytes"
    if count < 1_000_000:
        return f"{count / 1000:.0f} KB"
    return f"{count / 1_000_000:.1f} MB"
