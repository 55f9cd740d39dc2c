"""What every kind of schedule shares once it is read: zone, anchor, exclusions, additions, policies."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from scheduling.core.recurrence.rule import (
    FOLD_POLICIES,
    GAP_POLICIES,
    Rule,
    ScheduleError,
    require_supported_year,
    require_wall_time,
)
from scheduling.core.recurrence.zones import Zone, get_zone


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """A rule's fields, checked. `ends_at` and `added` are naive UTC, `starts_at` and `excluded` naive local.

    `lines`: how many rules there are beside each other, which share what a search may cost.
    """

    zone: Zone
    gap: str
    fold: str
    starts_at: datetime | None
    ends_at: datetime | None
    excluded: frozenset[datetime]
    added: tuple[datetime, ...]
    lines: int = 1

    @property
    def anchor(self) -> datetime:
        """`starts_at`, or ScheduleError: a rule that counts from its anchor has to have one."""
        if self.starts_at is None:
            raise ScheduleError(
                "missing_starts_at",
                "This kind of schedule counts from starts_at, which is missing",
                field="starts_at",
                hint="Give the local wall time of the first possible occurrence",
            )
        return self.starts_at

    def excludes(self, instant: datetime) -> bool:
        """True where an exclusion names the local time, to the second, at which a naive instant would be shown."""
        return bool(self.excluded) and (instant + self.zone.offset_at(instant)).replace(microsecond=0) in self.excluded

    @property
    def anchor_instant(self) -> datetime:
        """The instant of `starts_at`; one that the zone leaves out is moved by the gap's length."""
        gap = "shift" if self.gap == "skip" else self.gap
        fold = "first" if self.fold == "both" else self.fold
        return self.zone.resolve(self.anchor, gap=gap, fold=fold)[0]


def read_context(rule: Rule, *, default_gap: str) -> Context:
    """Check everything of a rule but its expression."""
    zone = get_zone(rule.timezone)
    gap = _policy(rule.gap, GAP_POLICIES, default_gap, field="gap")
    fold = _policy(rule.fold, FOLD_POLICIES, "first", field="fold")
    excluded = frozenset(require_wall_time(wall, field="exdates") for wall in rule.exdates)
    added = {require_wall_time(wall, field="rdates") for wall in rule.rdates} - excluded
    context = Context(
        zone=zone,
        gap=gap,
        fold=fold,
        starts_at=None if rule.starts_at is None else require_wall_time(rule.starts_at, field="starts_at"),
        ends_at=None if rule.ends_at is None else _instant(rule.ends_at),
        excluded=excluded,
        added=(),
    )
    instants = {instant for wall in added for instant in zone.resolve(wall, gap=gap, fold=fold)}
    return replace(context, added=tuple(sorted(at for at in instants if not context.excludes(at))))


def _policy(given: str | None, known: tuple[str, ...], default: str, *, field: str) -> str:
    if given is None:
        return default
    if given not in known:
        raise ScheduleError("invalid_policy", f"{field} is one of {', '.join(known)}, not {given!r}", field=field)
    return given


def _instant(ends_at: datetime) -> datetime:
    if ends_at.tzinfo is None:
        raise ScheduleError("invalid_datetime", "ends_at must be an instant with an offset or Z", field="ends_at")
    require_supported_year(ends_at, field="ends_at")
    return ends_at.astimezone(UTC).replace(tzinfo=None)
