"""What a schedule says, and the error of a schedule that cannot be understood or can never occur."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scheduling.core.recurrence.exclusions import Exclusions

EARLIEST = datetime(1900, 1, 1)
LATEST = datetime(9900, 1, 1)

GAP_POLICIES = ("shift", "next", "skip")
FOLD_POLICIES = ("first", "second", "both")

ONE_SECOND = timedelta(seconds=1)
ONE_DAY = timedelta(days=1)
# More than any wall time lies from the instant it names: an offset, and the day that Apia left out in 2011.
REACH = 3 * ONE_DAY


class ScheduleError(ValueError):
    """A schedule is not valid. `code` is stable; `field` names the schedule's field that is at fault.

    `detail` says what is wrong, `hint` (or None) what to write instead; both are for people.
    """

    def __init__(self, code: str, detail: str, *, field: str, hint: str | None = None) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.field = field
        self.hint = hint

    @property
    def hint_sentence(self) -> str | None:
        """The hint with what ends a sentence."""
        return self.hint if self.hint is None or self.hint.endswith(("?", ".")) else f"{self.hint}."


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A schedule's own words. Hashable, so that what is compiled from it can be kept.

    `starts_at`, `exdates` and `rdates` are naive local wall times in `timezone`; `starts_at` is the anchor (RFC 5545
    DTSTART), from which INTERVAL and COUNT are counted for ever. `ends_at` is an aware instant: nothing occurs after
    it. `gap` is shift, next or skip, `fold` first, second or both; None means the kind's default. What one of the
    `calendars` excludes does not occur.
    """

    kind: str
    expression: str
    timezone: str = "UTC"
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    exdates: tuple[datetime, ...] = ()
    rdates: tuple[datetime, ...] = ()
    gap: str | None = None
    fold: str | None = None
    calendars: "tuple[Exclusions, ...]" = ()


def require_wall_time(value: datetime, *, field: str) -> datetime:
    """`value` without microseconds, or ScheduleError unless it is a naive local time of a supported year."""
    if value.tzinfo is not None:
        raise ScheduleError(
            "invalid_datetime",
            f"{field} must be a local time without an offset; its zone is the schedule's timezone",
            field=field,
        )
    require_supported_year(value, field=field)
    return value.replace(microsecond=0, fold=0)


def require_supported_year(value: datetime, *, field: str) -> None:
    """ScheduleError for a year, of a local time or of an instant in UTC too, that is not supported."""
    years = [value.year]
    # An offset moves by a day at most, and from the calendar's last one out of it.
    if value.tzinfo is not None and EARLIEST.year <= value.year < LATEST.year:
        years.append(value.astimezone(UTC).year)
    for year in years:
        if not EARLIEST.year <= year < LATEST.year:
            raise ScheduleError(
                "invalid_datetime",
                f"{field} lies in the year {year}; years from {EARLIEST.year} to {LATEST.year - 1} are supported",
                field=field,
            )
