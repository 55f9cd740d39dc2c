"""What a process tells of its last error and of what it does."""

import uuid
from datetime import UTC, datetime

import pytest

from pipelines.engine.ports import StepEntry, StepState
from workers.doing import MOST_TOLD, Doing, heard, open_step, told
from workers.faults import LONGEST, Faults
from workers.links import Link


def test_an_error_is_told_as_one_line_that_the_database_takes():
    faults = Faults()

    faults.note("a slot failed", ValueError("no\x00\n  way \ud800" + "x" * 1000))

    assert faults.text.startswith("a slot failed: ValueError: no way ?xxx")
    assert len(faults.text) == LONGEST


def test_the_same_error_twice_is_news_twice():
    faults = Faults()
    link = Link("worker-1")

    def news():
        link.report = {"fault": [faults.number, faults.text], "doing": []}
        found = link.news[1]
        link.note_told(link.report)
        return found

    before = news()
    faults.note("a slot failed", OSError("full"))
    first, repeated = news(), news()
    faults.note("a slot failed", OSError("full"))

    assert (before, first, repeated) == (None, "a slot failed: OSError: full", None)
    assert news() == first


def test_what_is_done_is_told_and_heard_the_same():
    doings = [Doing(uuid.uuid4(), "each[3]/send", datetime(2026, 3, 1, tzinfo=UTC)), Doing(uuid.uuid4())]
    doings.append(Doing(uuid.uuid4(), "compute", datetime(2026, 3, 1, tzinfo=UTC), waits_for_process=True))
    doings.append(Doing(uuid.uuid4(), "call", datetime(2026, 3, 1, tzinfo=UTC), is_simulated=True))
    doings.append(Doing(uuid.uuid4(), "c", datetime(2026, 3, 1, tzinfo=UTC), waits_for_process=True, is_simulated=True))

    assert list(heard(told(doings)).values()) == doings


def test_no_more_is_told_than_fits_into_a_datagram():
    assert len(told(Doing(uuid.uuid4()) for _ in range(1000))) == MOST_TOLD


@pytest.mark.parametrize(
    "value", [None, {}, "x", [[1, 2]], [["no-id", None, None]], [[str(uuid.uuid4()), "a", "late"]]]
)
def test_a_row_of_another_release_says_nothing_and_breaks_nothing(value):
    assert heard(value) == {}


def test_of_several_open_calls_the_first_is_shown():
    def call(path, minute):
        at = datetime(2026, 3, 1, 8, minute, tzinfo=UTC)
        return StepEntry(path=path, kind="tool", state=StepState.STARTED, attempt=1, started_at=at)

    late, early = call("b", 2), call("a", 1)

    assert open_step({("b", 1): late, ("a", 1): early}) == ("a", early.started_at)
    assert open_step({}) == (None, None)


@pytest.mark.parametrize(
    ("fault", "error"),
    [([0, ""], "ended with SIGKILL"), ([1, "a task: KeyError"], "ended with SIGKILL; before: a task: KeyError")],
)
def test_the_end_of_a_process_is_told_with_what_it_said_before(fault, error):
    link = Link("worker-1")
    link.report = {"fault": fault}

    assert link.reason_of_end("SIGKILL") == ("ended with SIGKILL", error)
