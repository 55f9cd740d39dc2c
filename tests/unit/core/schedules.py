"""Short ways to ask a schedule for its occurrences in local time."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from scheduling.core.preview import answer, parse_request

CHISINAU = "Europe/Chisinau"
BERLIN = "Europe/Berlin"


def local_times(count: int, **line: Any) -> list[str]:
    """The next `count` occurrences of a preview line, as ISO 8601 with the zone's offset."""
    now = datetime(2025, 1, 1, tzinfo=ZoneInfo(line.get("timezone", "UTC")))
    return [shown.local for shown in answer(parse_request({"count": count, **line}), now).next]


def days(times: list[str]) -> list[str]:
    return [time[:10] for time in times]
