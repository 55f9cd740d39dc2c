"""What holds for every schedule, whatever it says."""

from datetime import UTC, datetime, timedelta

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from scheduling.core.recurrence import Recurrence, Rule, ScheduleError, compile_rule
from tests.effort import examples
from tests.property.core.rules import anchors, cron_expressions, folds, gaps, rrules, zones

FREQS = ("YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY", "SECONDLY")
instants = st.datetimes(datetime(2008, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC))


def several(rules: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(rules, min_size=2, max_size=4).map("\n".join)


@st.composite
def recurrences(draw: st.DrawFn) -> Recurrence:
    kind, expression = draw(
        st.one_of(
            st.tuples(st.just("cron"), cron_expressions()),
            st.tuples(st.just("cron"), several(cron_expressions())),
            st.tuples(st.just("rrule"), rrules(freqs=FREQS, most_interval=90)),
            st.tuples(st.just("rrule"), several(rrules(freqs=FREQS, most_interval=90))),
            st.tuples(st.just("interval"), st.integers(1, 200_000).map(lambda seconds: f"PT{seconds}S")),
        )
    )
    anchor = draw(anchors)
    rule = Rule(
        kind=kind,
        expression=expression,
        timezone=draw(zones),
        starts_at=anchor,
        gap=draw(gaps),
        fold=draw(folds),
        exdates=tuple(draw(st.lists(anchors, max_size=2))),
        rdates=tuple(draw(st.lists(anchors, max_size=2))),
    )
    try:
        return compile_rule(rule)
    except ScheduleError as error:
        assume(error.code != "never_occurs")
        raise


@settings(deadline=None, max_examples=examples(80))
@given(recurrence=recurrences(), after=instants)
def test_the_next_occurrence_is_strictly_later(recurrence: Recurrence, after: datetime) -> None:
    following = recurrence.next_after(after)

    assert following is None or (following > after and following.tzinfo is UTC)


@settings(deadline=None, max_examples=examples(80))
@given(recurrence=recurrences(), after=instants, jumps=st.lists(st.integers(0, 40 * 86_400), min_size=1, max_size=6))
def test_jumping_finds_what_iterating_finds(recurrence: Recurrence, after: datetime, jumps: list[int]) -> None:
    iterated = recurrence.occurrences(after, 200)

    for jump in jumps:
        point = after + timedelta(seconds=jump)
        later = [at for at in iterated if at > point]
        if later:
            assert recurrence.next_after(point) == later[0]


@settings(deadline=None, max_examples=examples(80))
@given(recurrence=recurrences(), first=instants, second=instants)
def test_a_later_question_has_no_earlier_answer(recurrence: Recurrence, first: datetime, second: datetime) -> None:
    earlier, later = recurrence.next_after(min(first, second)), recurrence.next_after(max(first, second))

    assert later is None or (earlier is not None and earlier <= later)


@settings(deadline=None, max_examples=examples(60))
@given(recurrence=recurrences(), after=instants)
def test_nothing_lies_between_two_neighbours(recurrence: Recurrence, after: datetime) -> None:
    first = recurrence.next_after(after)
    assume(first is not None)
    assert first is not None

    assert recurrence.next_after(first - timedelta(microseconds=1)) == first
    assert recurrence.next_after(after + (first - after) / 2) == first


@settings(deadline=None, max_examples=examples(60))
@given(
    recurrence=recurrences(),
    after=instants,
    pauses=st.lists(st.tuples(st.integers(0, 100), st.integers(0, 60 * 86_400)), min_size=1, max_size=5),
)
def test_asking_again_from_anywhere_gives_the_same_set(
    recurrence: Recurrence, after: datetime, pauses: list[tuple[int, int]]
) -> None:
    """What is asked for from any instant is the tail of what would have come without the interruption."""
    undisturbed = recurrence.occurrences(after, 150)
    assume(undisturbed)

    for position, length in pauses:
        stopped = undisturbed[min(position, len(undisturbed) - 1)]
        resumed = stopped + timedelta(seconds=length)
        expected = [at for at in undisturbed if at > resumed]
        assert recurrence.occurrences(resumed, len(expected)) == expected


@settings(deadline=None, max_examples=examples(60))
@given(
    rules=st.one_of(
        st.tuples(st.just("cron"), st.lists(cron_expressions(), min_size=2, max_size=5)),
        st.tuples(st.just("rrule"), st.lists(rrules(freqs=FREQS, most_interval=90), min_size=2, max_size=5)),
    ),
    anchor=anchors,
    zone=zones,
    gap=gaps,
    fold=folds,
    after=instants,
)
def test_several_rules_are_the_union_of_each(
    rules: tuple[str, list[str]], anchor: datetime, zone: str, gap: str, fold: str, after: datetime
) -> None:
    kind, lines = rules

    def compiled(expression: str) -> Recurrence:
        rule = Rule(kind=kind, expression=expression, timezone=zone, starts_at=anchor, gap=gap, fold=fold)
        try:
            return compile_rule(rule)
        except ScheduleError:
            assume(False)
            raise

    apart = {at for line in lines for at in compiled(line).occurrences(after, 40)}

    assert compiled("\n".join(lines)).occurrences(after, 40) == sorted(apart)[:40]
