"""What the clock does about one due schedule, and about one due run of a busy task: decisions, as values.

Every occurrence from the schedule's mark to now is accounted for. It is *misfired* when it is past due by more than
its grace. The others fire; the misfired ones fire or are missed as the policy says, and each is in exactly one place.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import blake2b

from scheduling.core.recurrence import Recurrence

MAX_COUNTED = 10_000
# One plan fires no more; the mark stays due behind them, so the next pass goes on from there.
MAX_FIRED = 1_000

_SMALLEST = timedelta(microseconds=1)


class MissReason(StrEnum):
    """Why an occurrence has no run."""

    POLICY_SKIP = "policy_skip"
    SUPERSEDED = "superseded"
    OVER_LIMIT = "over_limit"
    OUTSIDE_WINDOW = "outside_window"


@dataclass(frozen=True, slots=True, kw_only=True)
class MisfirePolicy:
    """What to do about misfired occurrences.

    `skip` runs none, `last` the newest, `all` the newest `limit` of those that are at most `window` late (None: any).
    """

    policy: str = "last"
    grace: timedelta = timedelta(seconds=60)
    limit: int = 100
    window: timedelta | None = None

    def __post_init__(self) -> None:
        if self.policy not in ("skip", "last", "all"):
            raise ValueError(f"{self.policy!r} is not a misfire policy")

    @property
    def kept(self) -> int:
        """How many misfired occurrences may run."""
        return {"skip": 0, "last": 1, "all": min(max(self.limit, 0), MAX_FIRED)}[self.policy]


@dataclass(frozen=True, slots=True, kw_only=True)
class Firing:
    """A run to make. `available_at` is `scheduled_for` plus jitter; `late` where it is a misfired one caught up."""

    scheduled_for: datetime
    available_at: datetime
    late: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Missed:
    """Contiguous occurrences without a run. `at_least`: there are more than `count`; counting stopped."""

    first: datetime
    last: datetime
    count: int
    at_least: bool
    reason: MissReason


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`next_fire_at` is the schedule's new mark, None exactly where it `is_completed`."""

    fire: tuple[Firing, ...]
    missed: tuple[Missed, ...]
    next_fire_at: datetime | None
    is_completed: bool

    @property
    def first(self) -> datetime | None:
        """The earliest occurrence that it accounts for: the mark that it was made for, where the rule names that."""
        firsts = [each.scheduled_for for each in self.fire[:1]] + [each.first for each in self.missed[:1]]
        return min(firsts, default=None)


def plan(
    recurrence: Recurrence,
    *,
    misfire: MisfirePolicy,
    next_fire_at: datetime,
    now: datetime,
    jitter: timedelta = timedelta(0),
    seed: str = "",
    remaining: int | None = None,
) -> Plan:
    """Account for every occurrence in [next_fire_at, now]. All instants are aware UTC. ScheduleError where nothing of
    an endless rule is left, not even what is due: it has not ended, it has become one that never occurs.

    The same arguments always give the same plan: jitter is drawn from `seed` and the occurrence.

    At most `remaining` fire, the oldest that may; what comes after them waits, for whoever writes the plan knows
    whether all of them became runs: then the schedule is over, else the next plan goes on from the mark.
    """
    if remaining is not None and remaining <= 0:
        return Plan(fire=(), missed=(), next_fire_at=None, is_completed=True)
    if now < next_fire_at:
        return Plan(fire=(), missed=(), next_fire_at=next_fire_at, is_completed=False)
    on_time_from = max(next_fire_at, now - misfire.grace)
    caught_up, missed = _settle_misfired(recurrence, misfire, next_fire_at, on_time_from, now)
    on_time, following = _collect(recurrence, on_time_from, now + _SMALLEST, MAX_FIRED - len(caught_up))
    to_fire = [*caught_up, *on_time]
    if not (to_fire or missed):
        following = recurrence.require_next(now)
    if remaining is not None and len(to_fire) > remaining:
        to_fire, following = to_fire[:remaining], to_fire[remaining]
    fire = [
        Firing(
            scheduled_for=occurrence,
            available_at=_spread(recurrence, occurrence, jitter, seed) if jitter else occurrence,
            late=occurrence < on_time_from,
        )
        for occurrence in to_fire
    ]
    return Plan(fire=tuple(fire), missed=missed, next_fire_at=following, is_completed=following is None)


def _collect(
    recurrence: Recurrence, start: datetime, end: datetime, limit: int
) -> tuple[list[datetime], datetime | None]:
    """At most `limit` occurrences in [start, end), and the one that follows them."""
    found: list[datetime] = []
    following = recurrence.next_after(start - _SMALLEST)
    while following is not None and following < end and len(found) < limit:
        found.append(following)
        following = recurrence.next_after(following)
    return found, following


def _settle_misfired(
    recurrence: Recurrence, misfire: MisfirePolicy, start: datetime, end: datetime, now: datetime
) -> tuple[Sequence[datetime], tuple[Missed, ...]]:
    """Divide the occurrences in [start, end) into those to run late and those that are missed."""
    if start >= end:
        return (), ()
    oldest, following = _collect(recurrence, start, end, MAX_COUNTED)
    is_cut = following is not None and following < end
    candidates = oldest[-misfire.kept :] if misfire.kept else []
    if is_cut:
        candidates = _newest(recurrence, misfire.kept, start, end)
    caught_up = [at for at in candidates if not _is_outside(at, misfire, now)]
    if not is_cut:
        return caught_up, tuple(_spans(oldest[: len(oldest) - len(caught_up)], misfire, now))
    end = caught_up[0] if caught_up else end
    # What is too late for the window comes first, and has another reason.
    border = start if misfire.window is None or misfire.policy != "all" else min(max(now - misfire.window, start), end)
    if border <= oldest[0]:
        return caught_up, (_long_span(recurrence, misfire, now, oldest, following, end),)
    outside = _long_span(recurrence, misfire, now, oldest, following, border)
    inside, following = _collect(recurrence, border, end, MAX_COUNTED)
    return caught_up, (outside, *([_long_span(recurrence, misfire, now, inside, following, end)] if inside else []))


def _long_span(
    recurrence: Recurrence,
    misfire: MisfirePolicy,
    now: datetime,
    counted: Sequence[datetime],
    following: datetime | None,
    end: datetime,
) -> Missed:
    """One span, all of one reason, of those before `end`: of them the first are `counted`, and `following` is next."""
    found = counted[: bisect_left(counted, end)]
    is_cut = following is not None and following < end
    last = last_occurrence(recurrence, counted[0], end) if is_cut else found[-1]
    return Missed(first=found[0], last=last, count=len(found), at_least=is_cut, reason=_reason(last, misfire, now))


def _spans(missed: Sequence[datetime], misfire: MisfirePolicy, now: datetime) -> list[Missed]:
    """One span for each reason; those too late for the window come first."""
    spans = []
    start = 0
    while start < len(missed):
        reason = _reason(missed[start], misfire, now)
        end = start
        while end < len(missed) and _reason(missed[end], misfire, now) == reason:
            end += 1
        spans.append(
            Missed(first=missed[start], last=missed[end - 1], count=end - start, at_least=False, reason=reason)
        )
        start = end
    return spans


def _reason(occurrence: datetime, misfire: MisfirePolicy, now: datetime) -> MissReason:
    if misfire.policy == "skip":
        return MissReason.POLICY_SKIP
    if misfire.policy == "last":
        return MissReason.SUPERSEDED
    return MissReason.OUTSIDE_WINDOW if _is_outside(occurrence, misfire, now) else MissReason.OVER_LIMIT


def _is_outside(occurrence: datetime, misfire: MisfirePolicy, now: datetime) -> bool:
    return misfire.policy == "all" and misfire.window is not None and now - occurrence > misfire.window


def last_occurrence(recurrence: Recurrence, start: datetime, end: datetime) -> datetime:
    """The last of the occurrences in [start, end), of which there is one."""
    return _newest(recurrence, 1, start, end)[-1]


def _newest(recurrence: Recurrence, count: int, start: datetime, end: datetime) -> list[datetime]:
    """The newest `count` occurrences in [start, end), of which there are as many, found by bisection over seconds."""

    def overshoots(seconds: int) -> bool:
        found = recurrence.occurrences(start + timedelta(seconds=seconds) - _SMALLEST, count)
        return len(found) < count or found[-1] >= end

    if not count:
        return []
    span = int((end - start).total_seconds()) + 1
    seconds = bisect_left(range(span), True, key=overshoots) - 1
    return recurrence.occurrences(start + timedelta(seconds=seconds) - _SMALLEST, count)


def _spread(recurrence: Recurrence, occurrence: datetime, jitter: timedelta, seed: str) -> datetime:
    """A stable instant in [occurrence, occurrence + jitter), before the next occurrence."""
    following = recurrence.next_after(occurrence)
    room = jitter if following is None else min(jitter, following - occurrence)
    digest = blake2b(f"{seed}|{occurrence.isoformat()}".encode(), digest_size=8).digest()
    return occurrence + timedelta(microseconds=room // _SMALLEST * int.from_bytes(digest) >> 64)


class OverlapDecision(StrEnum):
    """What to do about a start of a task that may be running already."""

    START = "start"
    HOLD = "hold"
    SKIP = "skip"
    CANCEL_AND_HOLD = "cancel_and_hold"


class UnknownOverlapPolicyError(ValueError):
    """An overlap policy is not one of allow, skip, queue_one, queue_all, cancel_running."""


def decide_overlap(policy: str, *, live: int, held: int, is_backfilled: bool = False) -> OverlapDecision:
    """Decide about one more start, given how many runs are live (parked ones too) and how many are held back.

    `queue_one` keeps the first that waits; `cancel_running` makes room for the newest. `is_backfilled`: the start is
    none of a backfill, and all that is live is; then it waits where it would be skipped, as live firing does not fall
    out for the sake of a backfill.
    """
    is_free = not (live or held)
    match policy:
        case "allow":
            return OverlapDecision.START
        case "skip":
            if is_backfilled and not held:
                return OverlapDecision.HOLD
            return OverlapDecision.START if is_free else OverlapDecision.SKIP
        case "queue_one":
            return OverlapDecision.START if is_free else OverlapDecision.SKIP if held else OverlapDecision.HOLD
        case "queue_all":
            return OverlapDecision.START if is_free else OverlapDecision.HOLD
        case "cancel_running":
            return OverlapDecision.START if is_free else OverlapDecision.CANCEL_AND_HOLD
    raise UnknownOverlapPolicyError(f"{policy!r} is not an overlap policy")
