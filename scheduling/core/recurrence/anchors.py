"""What a rule still takes from its anchor once it has begun. Rules that differ in nothing else are one rule."""

from datetime import date, datetime
from functools import lru_cache

from scheduling.core.recurrence.rrule_parts import SUB_DAILY, parse_parts
from scheduling.core.recurrence.rule import REACH, ScheduleError

# Before every schedule of ours, so that it has begun.
_COMMON_DAY = date(1972, 1, 1)


def settled_anchor(kind: str, expression: str, starts_at: datetime | None, *, since: datetime) -> datetime | None:
    """An anchor that makes the same occurrences from `since` on, an aware UTC instant, and is shared by as many rules
    as may be: None where nothing is taken from it, a common day where only the time of day is, else `starts_at`.

    cron counts nothing from its anchor: it only begins there. An rrule without INTERVAL and COUNT that names its days
    takes at most the time of day. Everything else counts, or has its day from there. Pure; never raises.
    """
    if starts_at is None or kind not in ("cron", "rrule"):
        return starts_at
    begun = since.replace(tzinfo=None) - REACH
    if starts_at >= begun:
        return starts_at
    if kind == "cron":
        return None
    common = datetime.combine(_COMMON_DAY, starts_at.time())
    return common if common < begun and _takes_no_day(expression) else starts_at


@lru_cache(maxsize=4096)
def _takes_no_day(expression: str) -> bool:
    try:
        parts = parse_parts(expression)
    except ScheduleError:
        return False  # several rules, or none: whoever compiles it says which
    names_days = parts.freq == "DAILY" or bool(parts.by_day or parts.by_month_day or parts.by_year_day)
    return parts.freq not in SUB_DAILY and parts.interval == 1 and parts.count is None and names_days
