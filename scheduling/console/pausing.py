"""The end of a pause, as a form says it."""

from datetime import datetime

from scheduling.core.recurrence.once import parse_instant
from scheduling.core.recurrence.zones import get_zone


def pause_end_in(text: str, timezone: str) -> datetime | None:
    """The instant at which a local time begins, from which on something fires again; None for an empty text. Raises
    ScheduleError."""
    if not text.strip():
        return None
    return get_zone(timezone).begin_of(parse_instant(text.strip(), field="until"))
