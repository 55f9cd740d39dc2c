"""The coming occurrences of a schedule, in its local time and in UTC, with a sentence and notes.

One reading of a request serves the REST preview and `previewschedule`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from scheduling.core.acceptance import BEFORE_EVERYTHING, objection_to
from scheduling.core.recurrence import Rule, ScheduleError, anchored, compile_rule
from scheduling.core.recurrence.once import parse_instant
from scheduling.core.recurrence.remarks import remarks
from scheduling.core.recurrence.zones import Zone, get_zone

DEFAULT_COUNT = 5
MAX_COUNT = 10_000
MAX_DATES = 1_000
MAX_EXPRESSION = 4_000

_FIELDS = (
    "kind",
    "expression",
    "timezone",
    "starts_at",
    "ends_at",
    "after",
    "count",
    "exdates",
    "rdates",
    "gap",
    "fold",
)
_COUNTED_FROM_ANCHOR = ("rrule", "interval", "condition")
_SMALLEST = timedelta(microseconds=1)


class PreviewOccurrence(NamedTuple):
    """One instant as ISO 8601: `local` with the zone's offset, `utc` with Z."""

    local: str
    utc: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """The next occurrences, the schedule in English, and what a reader should know about them."""

    next: tuple[PreviewOccurrence, ...]
    sentence: str
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewRequest:
    """What was asked for. `after` None: from the rule's `starts_at` inclusive, or from now where it has none."""

    rule: Rule
    after: datetime | None = None
    count: int = DEFAULT_COUNT


def preview(rule: Rule, *, after: datetime | None, now: datetime, count: int) -> Preview:
    """At most `count` occurrences strictly after `after`; raises ScheduleError for an invalid rule.

    With `after` None they begin with `starts_at`, which may be one itself, or with what is named before it (a `once`,
    an addition); without a `starts_at` after `now`. A rule without `starts_at`
    is anchored at 00:00:00 local of today, as if it were stored now; where `after` has passed, of the day of `after`.
    """
    rule_begins = _before_anchor(rule)
    start = after or rule_begins or now
    is_as_if_before = rule.starts_at is None and after is not None and after < now
    rule = anchored(rule, at=anchoring(after, now))
    recurrence = compile_rule(rule)
    if after is None and rule_begins is not None:
        first = recurrence.next_after(BEFORE_EVERYTHING)
        begins = [rule_begins, *([] if first is None else [first - _SMALLEST])]
        if rule.rdates:  # one that is left out is told, too
            begins.append(recurrence.zone.begin_of(min(rule.rdates).replace(microsecond=0)) - _SMALLEST)
        start = min(begins)
    ahead = recurrence.occurrences(start, count + 1)
    found, is_over = ahead[:count], len(ahead) <= count
    notes = remarks(rule, start=start, end=found[-1]) if found else []
    if not recurrence.has_times:
        notes = ["It names no instants: it waits for something to happen."]
    elif is_over:
        notes += remarks(rule, start=found[-1] if found else start, end=None)
        notes.append(
            "The schedule ends with the last occurrence shown."
            if found
            else "The schedule has ended: it has no occurrence after this time."
        )
    if is_as_if_before and rule.kind in _COUNTED_FROM_ANCHOR:
        notes.append(f"Without starts_at it is counted from {rule.starts_at:%Y-%m-%d} here; stored now, from today.")
    return Preview(
        next=tuple(_shown(instant, recurrence.zone) for instant in found),
        sentence=recurrence.sentence,
        notes=tuple(notes),
    )


def anchoring(after: datetime | None, now: datetime) -> datetime:
    """When a rule without `starts_at` is taken to be created, which is asked for its occurrences after `after`."""
    return now if after is None else min(after, now)


def answer(request: PreviewRequest, now: datetime) -> Preview:
    """The preview that a request asks for, and the note that it would be refused, if so; raises ScheduleError."""
    found = preview(request.rule, after=request.after, now=now, count=request.count)
    objection = objection_to(request.rule, now=now)
    return found if objection is None else with_objection(found, objection)


def with_objection(found: Preview, sentence: str) -> Preview:
    """The preview with the note that storing its rule would be refused."""
    return replace(found, notes=(*found.notes, f"It would be refused: {sentence}"))


def parse_request(mapping: Mapping[str, Any]) -> PreviewRequest:
    """Read the fields of a `previewschedule` line; an absent field and null mean the default.

    Local times may carry an offset and are then brought into the schedule's zone. Raises ScheduleError with codes
    `unknown_field`, `missing_field`, `invalid_field`, `invalid_datetime`, `unknown_timezone`.
    """
    for name in mapping:
        if name not in _FIELDS:
            hint = f"The fields are {', '.join(_FIELDS)}"
            raise ScheduleError("unknown_field", f"{str(name)[:40]!r} is not a field", field=str(name)[:40], hint=hint)
    kind, expression = _text(mapping, "kind"), _text(mapping, "expression")
    if kind is None or expression is None:
        missing = "kind" if kind is None else "expression"
        raise ScheduleError("missing_field", f"{missing} is missing", field=missing)
    if len(expression) > MAX_EXPRESSION:
        raise ScheduleError(
            "invalid_field", f"expression has no more than {MAX_EXPRESSION} characters", field="expression"
        )
    zone_name = _text(mapping, "timezone")
    zone = get_zone("UTC" if zone_name is None else zone_name)
    rule = Rule(
        kind=kind,
        expression=expression,
        timezone=zone.name,
        starts_at=_wall(_text(mapping, "starts_at"), zone, field="starts_at"),
        ends_at=_whole(_instant(_text(mapping, "ends_at"), zone.end_of, field="ends_at")),
        exdates=_walls(mapping, "exdates", zone),
        rdates=_walls(mapping, "rdates", zone),
        gap=_text(mapping, "gap"),
        fold=_text(mapping, "fold"),
    )
    after = _instant(_text(mapping, "after"), zone.after, field="after")
    return PreviewRequest(rule=rule, after=after, count=_count(mapping.get("count")))


def _text(mapping: Mapping[str, Any], field: str) -> str | None:
    value = mapping.get(field)
    if value is None or isinstance(value, str):
        return value
    raise ScheduleError("invalid_field", f"{field} must be a text", field=field)


def _count(value: Any) -> int:
    if value is None:
        return DEFAULT_COUNT
    if type(value) is not int or not 1 <= value <= MAX_COUNT:
        raise ScheduleError("invalid_field", f"count must be a whole number from 1 to {MAX_COUNT}", field="count")
    return value


def _walls(mapping: Mapping[str, Any], field: str, zone: Zone) -> tuple[datetime, ...]:
    value = mapping.get(field)
    if value is None:
        return ()
    if not isinstance(value, list | tuple) or len(value) > MAX_DATES:
        raise ScheduleError("invalid_field", f"{field} must be a list of at most {MAX_DATES} local times", field=field)
    walls = []
    for item in value:
        if not isinstance(item, str):
            raise ScheduleError("invalid_field", f"{field} must hold texts", field=field)
        walls.append(_wall(item, zone, field=field))
    return tuple(wall for wall in walls if wall is not None)


def _wall(text: str | None, zone: Zone, *, field: str) -> datetime | None:
    if text is None:
        return None
    given = parse_instant(text, field=field)
    if given.tzinfo is None:
        return given
    wall = zone.to_wall(given)
    if _naive(given) not in zone.resolve(wall, gap="shift", fold="first"):
        raise ScheduleError(
            "invalid_datetime",
            f"{field} is the second of two times {wall:%H:%M} that day, which a local time cannot say",
            field=field,
            hint="Give a local time without an offset, and the fold policy",
        )
    return wall


def _instant(text: str | None, meant: Callable[[datetime], datetime], *, field: str) -> datetime | None:
    return None if text is None else meant(parse_instant(text, field=field))


def _whole(instant: datetime | None) -> datetime | None:
    """Without parts of a second, as it is stored."""
    return None if instant is None else instant.replace(microsecond=0)


def _before_anchor(rule: Rule) -> datetime | None:
    """Just before the first instant that `starts_at` can mean."""
    if rule.starts_at is None:
        return None
    return get_zone(rule.timezone).begin_of(rule.starts_at.replace(microsecond=0)) - _SMALLEST


def _shown(instant: datetime, zone: Zone) -> PreviewOccurrence:
    local = instant.astimezone(zone.info).isoformat()
    return PreviewOccurrence(local, f"{instant.replace(tzinfo=None).isoformat()}Z")


def _naive(instant: datetime) -> datetime:
    return instant.astimezone(UTC).replace(tzinfo=None)
