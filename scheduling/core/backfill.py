"""The occurrences of a range that is over: all of them, counted with a bound, or slice by slice from a cursor.

Both ends of a range belong to it. A cursor is an instant before which everything has been dealt with, so slicing may
stop and go on anywhere and still names each occurrence once.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import date, datetime, timedelta
from typing import Any

from scheduling.core.recurrence import Exclusions, Recurrence, Rule, ScheduleError

MAX_OCCURRENCES = 100_000
_SMALLEST = timedelta(microseconds=1)
_ASKED_EVERY = 64  # occurrences between two questions whether the time is over


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """The next occurrences, in order, and the cursor once they are dealt with. `is_last`: the range has no further."""

    occurrences: tuple[datetime, ...]
    cursor_at: datetime
    is_last: bool


def occurrences_in(
    recurrence: Recurrence,
    *,
    start: datetime,
    end: datetime,
    limit: int = MAX_OCCURRENCES,
    is_time_over: Callable[[], bool] = lambda: False,
) -> list[datetime]:
    """All occurrences from `start` to `end`, both included and both aware.

    ScheduleError where there are more than `limit`, or where `is_time_over` says so before they are counted: the
    range is then too long for one backfill.
    """
    found: list[datetime] = []
    following = recurrence.next_after(start - _SMALLEST)
    while following is not None and following <= end:
        if len(found) == limit:
            raise ScheduleError(
                "too_many_occurrences",
                f"The range has more than {limit} occurrences",
                field="end",
                hint=f"End it at {_shown(found[-1])}, and backfill the rest afterwards",
            )
        found.append(following)
        if len(found) % _ASKED_EVERY == 0 and is_time_over():
            raise ScheduleError(
                "range_too_long",
                f"The range takes too long to count: it has {len(found)} occurrences up to {_shown(following)}",
                field="end",
                hint=f"End it at {_shown(following)}, and backfill the rest afterwards",
            )
        following = recurrence.next_after(following)
    return found


def next_slice(
    recurrence: Recurrence,
    *,
    cursor: datetime,
    end: datetime,
    limit: int,
    is_time_over: Callable[[], bool] = lambda: False,
) -> Slice:
    """The first `limit` occurrences that are neither before the cursor nor after `end`; fewer, and at least one where
    there is one, when `is_time_over` says so."""
    found: list[datetime] = []
    following = recurrence.next_after(cursor - _SMALLEST)
    while following is not None and following <= end and len(found) < limit:
        if found and is_time_over():
            break
        found.append(following)
        following = recurrence.next_after(following)
    is_last = following is None or following > end
    cursor_at = end + _SMALLEST if is_last else found[-1] + _SMALLEST if found else cursor
    return Slice(occurrences=tuple(found), cursor_at=cursor_at, is_last=is_last)


def rule_words(rule: Rule) -> dict[str, Any]:
    """The rule as a JSON object, so that it can be kept with what it was made for."""
    plain = {field.name: _word(getattr(rule, field.name)) for field in fields(rule) if field.name != "calendars"}
    return {**plain, "calendars": [calendar.as_words() for calendar in rule.calendars]}


def rule_of_words(words: Mapping[str, Any]) -> Rule:
    """The rule again. ValueError or TypeError where the words are not those of a rule."""
    return Rule(**{name: _value(name, word) for name, word in words.items()})


def _word(value: Any) -> Any:
    if isinstance(value, datetime | date):
        return value.isoformat()
    return sorted(_word(item) for item in value) if isinstance(value, tuple | frozenset) else value


def _value(name: str, word: Any) -> Any:
    """Names of instants end with `_at`; what is listed is dates and times."""
    if name == "calendars":
        return tuple(Exclusions.of_words(item) for item in word)
    if isinstance(word, list):
        return tuple(_time(item) for item in word)
    return _time(word) if name.endswith("_at") and word is not None else word


def _time(word: str) -> date | datetime:
    return datetime.fromisoformat(word) if "T" in word else date.fromisoformat(word)


def _shown(instant: datetime) -> str:
    return instant.isoformat().replace("+00:00", "Z")
