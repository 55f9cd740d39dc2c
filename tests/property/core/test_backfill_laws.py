"""A backfill may stop and go on anywhere: it still names each occurrence of its range once."""

from datetime import datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from scheduling.core.backfill import next_slice, occurrences_in
from scheduling.core.recurrence import Recurrence
from tests.effort import examples
from tests.property.core.test_recurrence_laws import instants, recurrences

MOST = 300


@settings(deadline=None, max_examples=examples(80))
@given(
    recurrence=recurrences(),
    start=instants,
    span=st.timedeltas(timedelta(0), timedelta(days=40)),
    sizes=st.lists(st.integers(1, 7), min_size=1, max_size=5),
)
def test_slices_of_any_size_give_the_occurrences_of_the_range(
    recurrence: Recurrence, start: datetime, span: timedelta, sizes: list[int]
) -> None:
    bounded = recurrence.occurrences(start - timedelta(microseconds=1), MOST)
    end = min(start + span, bounded[-1]) if len(bounded) == MOST else start + span
    expected = occurrences_in(recurrence, start=start, end=end, limit=MOST)

    found: list[datetime] = []
    cursor, is_last, turn = start, False, 0
    while not is_last:
        part = next_slice(recurrence, cursor=cursor, end=end, limit=sizes[turn % len(sizes)])
        found.extend(part.occurrences)
        cursor, is_last, turn = part.cursor_at, part.is_last, turn + 1

    assert found == expected
    assert all(start <= each <= end for each in found)
    assert next_slice(recurrence, cursor=cursor, end=end, limit=5).occurrences == ()
