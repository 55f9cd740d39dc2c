"""Whether a rule that is valid can still be stored: it must not be over before it has begun."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from scheduling.core.recurrence import Rule, ScheduleError, anchored, compile_rule
from scheduling.core.recurrence.zones import get_zone
from scheduling.core.topics import STARTS_NOTHING

DEFAULT_GRACE = timedelta(minutes=1)
_SMALLEST = timedelta(microseconds=1)
# What says when, beside the anchor, of a kind that has times.
TIMES = ("ends_at", "exdates", "rdates", "calendars", "gap", "fold")
_LEAVES_NOTHING = {
    "calendars": "Its calendars leave nothing",
    "exdates": "Its exclusions leave nothing",
    "ends_at": "ends_at leaves nothing",
}
BEFORE_EVERYTHING = datetime(1900, 1, 2, tzinfo=UTC)


def first_instant(rule: Rule, *, now: datetime, grace: timedelta) -> datetime | None:
    """The first instant that a new or edited rule fires: never one that has passed. None: it has ended.

    One exception: a `once` that has passed by no more than `grace` still fires, before its `rdates`, so that "now" may
    take its time on the way here. One that is older raises ScheduleError where nothing is to come: whoever asks for it
    means another instant.
    """
    recurrence = compile_rule(rule)
    if rule.kind != "once":
        return recurrence.require_next(now)
    own = compile_rule(replace(rule, rdates=()))
    late = own.next_after(now - grace - _SMALLEST)
    if late is not None and late <= now:
        return late
    upcoming = recurrence.next_after(now)
    if upcoming is not None:
        return upcoming
    if rule.calendars and own.next_after(BEFORE_EVERYTHING) is None:
        raise ScheduleError(
            "never_occurs",
            "This time is excluded by a calendar",
            field="calendars",
            hint="Choose another time, or leave the calendar out.",
        )
    if rule.ends_at is not None and compile_rule(replace(rule, ends_at=None)).next_after(now) is not None:
        raise ScheduleError(
            "ends_before_it_starts",
            f"ends_at lies before {rule.expression}",
            field="ends_at",
            hint="Leave ends_at out, or let it lie behind that time.",
        )
    raise ScheduleError(
        "in_the_past",
        f"{rule.expression} has passed",
        field="expression",
        hint="Give an instant to come, or a misfire grace that reaches back to it.",
    )


def require_some(rule: Rule, *, now: datetime, is_new: bool) -> None:
    """ScheduleError `never_occurs` where a rule ends in the future and nothing of it occurs until then, at the field
    that leaves nothing: nothing from now on where it `is_new`, else nothing at all, as it may have occurred before. One
    whose end has passed is over, which is no mistake that anybody has to be told of. `invalid_topic` for one that
    listens where nothing is ever heard."""
    if rule.kind == "event" and rule.expression in STARTS_NOTHING:
        raise ScheduleError(
            "invalid_topic",
            f"Events of {rule.expression} start nothing by themselves",
            field="expression",
            hint="Follow a task's runs with the kind after, and a condition with a schedule of that kind.",
        )
    recurrence = compile_rule(rule)
    since = now if is_new else BEFORE_EVERYTHING
    if not recurrence.has_times or recurrence.next_after(since) is not None or rule.kind == "once":
        return
    ends = [at for at in (recurrence.ends_at, recurrence.own_end) if at is not None]
    if ends and min(ends).replace(tzinfo=UTC) <= now:
        return
    without = {
        "calendars": replace(rule, calendars=()),
        "exdates": replace(rule, exdates=()),
        "ends_at": replace(rule, ends_at=None),
    }
    for field, freer in without.items():
        if freer != rule and compile_rule(freer).next_after(since) is not None:
            raise ScheduleError(
                "never_occurs",
                f"{_LEAVES_NOTHING[field]} of what it names",
                field=field,
                hint="Choose other times, or let the schedule end later.",
            )
    raise ScheduleError(
        "never_occurs",
        "Nothing of it occurs before it ends",
        field="expression",
        hint="Let it begin earlier or end later, or choose other times.",
    )


def require_room_between(starts_at: datetime | None, ends_at: datetime | None, timezone: str) -> None:
    """ScheduleError where the end lies before the anchor, a local time: no rule occurs between the two."""
    if starts_at is None or ends_at is None:
        return
    if ends_at < get_zone(timezone).begin_of(starts_at):
        raise ScheduleError(
            "ends_before_it_starts",
            f"ends_at lies before starts_at, {starts_at.isoformat()} in {timezone}",
            field="ends_at",
            hint="Exchange the two, or leave ends_at out.",
        )


def objection_to(rule: Rule, *, now: datetime) -> str | None:
    """The sentence with which a valid rule would be refused if it were stored now; None where it would not."""
    try:
        require_room_between(rule.starts_at, rule.ends_at, rule.timezone)
        whole = anchored(rule, at=now)
        if not compile_rule(whole).has_times:
            for field in ("starts_at", *TIMES):
                if getattr(rule, field):
                    raise means_nothing(field, rule.kind)
        first_instant(whole, now=now, grace=DEFAULT_GRACE)
        require_some(whole, now=now, is_new=True)
    except ScheduleError as error:
        return f"{error.detail}."
    return None


def means_nothing(field: str, kind: str) -> ScheduleError:
    """The error of a field that is given, and that a schedule of this kind does not read."""
    return ScheduleError(
        "not_for_this_kind",
        f"{field} means nothing for a schedule of kind {kind}",
        field=field,
        hint=f"Leave {field} out.",
    )
