"""When a wait ends: read alike where a document is saved and where it runs."""

import json
from datetime import UTC, datetime, timedelta

from pipelines.document.limits import MAX_WAIT
from pipelines.expressions.durations import parse_timedelta

LAST_INSTANT = datetime.max.replace(tzinfo=UTC)


def read_length(value: object) -> timedelta:
    """An ISO 8601 duration of a fixed length. Raises ValueError with a message for people, as the others here do."""
    if not isinstance(value, str):
        raise ValueError(f"{_shown(value)} is no ISO 8601 duration such as PT30S, PT1H30M or P1D")
    try:
        length = parse_timedelta(value)
    except OverflowError as error:
        raise ValueError(f"{_shown(value)} is too long") from error
    if length < timedelta():
        raise ValueError(f"{_shown(value)} is negative")
    if length > MAX_WAIT:
        raise ValueError(f"{_shown(value)} is longer than {MAX_WAIT.days} days, which is as long as a wait may be")
    return length


def read_instant(value: object) -> datetime:
    """An ISO 8601 instant as expressions read it, in UTC where it has no offset. Aware, UTC."""
    if not isinstance(value, str):
        raise ValueError(f"{_shown(value)} is no ISO 8601 instant such as 2026-12-01T08:30:00Z")
    try:
        at = datetime.fromisoformat(value)
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except ValueError as error:
        raise ValueError(f"{_shown(value)} is no ISO 8601 instant such as 2026-12-01T08:30:00Z") from error
    except OverflowError as error:
        raise ValueError(f"{_shown(value)} is outside of the years 1 to 9999") from error


def instant_after(start: datetime, length: timedelta) -> datetime:
    """The instant (aware, UTC) that is `length` after `start`."""
    try:
        return start + length
    except OverflowError as error:
        raise ValueError(f"it would end after {LAST_INSTANT.year}, where the calendar ends") from error


def require_near(end: datetime, start: datetime) -> datetime:
    """`end`, where a wait that begins at `start` may last until then."""
    if end - start > MAX_WAIT:
        raise ValueError(f"{end.isoformat()} is more than {MAX_WAIT.days} days away, which is as long as a wait may be")
    return end


def _shown(value: object) -> str:
    text = repr(value) if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= 100 else f"{text[:100]}..."
