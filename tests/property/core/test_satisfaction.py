"""Every occurrence satisfies its rule by a slow check of its own, and nothing is remembered that a restart forgets."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from scheduling.core.recurrence import Recurrence, Rule, ScheduleError, compile_rule
from scheduling.core.recurrence.zones import _segments, get_zone
from tests.effort import examples
from tests.property.core.cron_words import cron_matcher
from tests.property.core.rules import anchors, any_rrules, cron_expressions, folds, gaps, rrules, zones
from tests.property.core.slow import exists, satisfies, walls_of

FREQS = ("YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY", "SECONDLY")
instants = st.datetimes(datetime(2008, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC))


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    kind, expression = draw(
        st.one_of(
            st.tuples(st.just("cron"), cron_expressions()),
            st.tuples(st.just("rrule"), any_rrules(freqs=FREQS, most_interval=90)),
            st.tuples(st.just("interval"), st.integers(1, 200_000).map(lambda seconds: f"PT{seconds}S")),
        )
    )
    anchor = draw(anchors)
    return Rule(
        kind=kind,
        expression=expression,
        timezone=draw(zones),
        starts_at=anchor,
        gap=draw(gaps),
        fold=draw(folds),
        exdates=tuple(draw(st.lists(anchors, max_size=2))),
        rdates=tuple(draw(st.lists(anchors, max_size=2))),
    )


def compiled(rule: Rule) -> Recurrence:
    try:
        return compile_rule(rule)
    except ScheduleError as error:
        assume(error.code != "never_occurs")
        raise


def forget() -> None:
    """What a restart forgets: every rule compiled, every zone read."""
    compile_rule.cache_clear()
    get_zone.cache_clear()
    _segments.cache_clear()


@settings(deadline=None, max_examples=examples(60))
@given(rule=rules(), start=instants, cuts=st.lists(st.integers(0, 30 * 86_400), max_size=6))
def test_restarts_anywhere_give_the_same_set(rule: Rule, start: datetime, cuts: list[int]) -> None:
    """A clock asks on from its mark, which may lie anywhere between two occurrences."""
    whole = compiled(rule).occurrences(start, 120)
    end = whole[-1] if len(whole) == 120 else start + timedelta(days=31)
    marks = [start, *sorted(at for cut in cuts if (at := start + timedelta(seconds=cut)) < end), end]
    found = []
    for mark, until in pairwise(marks):
        forget()
        following = compile_rule(rule).next_after(mark)
        while following is not None and following <= until:
            found.append(following)
            following = compile_rule(rule).next_after(following)

    assert found == [at for at in whole if at <= end]


@settings(deadline=None, max_examples=examples(60))
@given(rule=rules(), start=instants, first=st.integers(0, 20 * 86_400), length=st.integers(0, 20 * 86_400))
def test_a_pause_takes_out_its_own_occurrences_and_no_others(
    rule: Rule, start: datetime, first: int, length: int
) -> None:
    """INTERVAL and COUNT go on counting through a pause; the mark of a schedule that resumes is the time it does."""
    whole = compiled(rule).occurrences(start, 100)
    paused, resumed = start + timedelta(seconds=first), start + timedelta(seconds=first + length)
    before = [at for at in whole if at <= paused]
    forget()
    after = compile_rule(rule).occurrences(resumed, 100)

    left = [at for at in whole if at > resumed]
    assert after[: len(left)] == left
    assert [*before, *left] == [at for at in whole if not paused < at <= resumed]


@settings(deadline=None, max_examples=examples(150))
@given(
    expression=rrules(freqs=FREQS, most_interval=90), anchor=anchors, zone=zones, gap=gaps, fold=folds, after=instants
)
def test_every_occurrence_of_an_rrule_satisfies_it(
    expression: str, anchor: datetime, zone: str, gap: str, fold: str, after: datetime
) -> None:
    info = ZoneInfo(zone)
    assume(exists(anchor, info) and anchor.replace(tzinfo=info, fold=0).utcoffset() == info_later(anchor, info))
    rule = Rule(kind="rrule", expression=expression, timezone=zone, starts_at=anchor, gap=gap, fold=fold)
    takes_gap = gap if expression.startswith(("FREQ=YEARLY", "FREQ=MONTHLY", "FREQ=WEEKLY", "FREQ=DAILY")) else "skip"

    for at in compiled(rule).occurrences(after, 40):
        assert satisfies(expression, at, zone, anchor, takes_gap), at


def info_later(wall: datetime, info: ZoneInfo) -> timedelta | None:
    """The second reading's offset: an anchor that comes twice has two."""
    return wall.replace(tzinfo=info, fold=1).utcoffset()


@settings(deadline=None, max_examples=examples(80))
@given(expression=cron_expressions(), zone=zones, gap=gaps, fold=folds, after=instants)
def test_every_occurrence_of_cron_satisfies_it(
    expression: str, zone: str, gap: str, fold: str, after: datetime
) -> None:
    rule = Rule(kind="cron", expression=expression, timezone=zone, gap=gap, fold=fold)
    minute, hour, *_ = expression.split()
    takes_gap = "skip" if minute.startswith("*") or hour.startswith("*") else gap
    matches = cron_matcher(expression)

    for at in compiled(rule).occurrences(after, 40):
        assert at.second == 0
        assert any(matches(wall) for wall in walls_of(at, zone, takes_gap)), at
