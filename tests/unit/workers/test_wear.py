"""When a process has served long enough."""

import pytest

from workers.wear import Limits, Reason, Wear

MIB = 1 << 20


def worn(*measures, limits):
    wear = Wear()
    for counts, memory in measures:
        wear.measure(counts=counts, memory=memory, limits=limits)
    return wear.reason


@pytest.mark.parametrize(
    ("counts", "reason"),
    [
        ({"settled:succeeded": 9}, None),
        ({"settled:succeeded": 6, "settled:failed": 4}, Reason.RUNS),
        ({"settled:succeeded": 9, "settled:handed_back": 50, "claimed": 90}, None),
        ({"settled:succeeded": 9, "settled:simulated:handed_back": 50}, None),
        ({"settled:succeeded": 6, "settled:simulated:failed": 4}, Reason.RUNS),
    ],
)
def test_runs_count_when_they_are_settled(counts, reason):
    assert worn((counts, None), limits=Limits(runs=10)) is reason


def test_memory_above_the_limit_wears_out_a_process_that_was_below_it():
    assert worn(({}, 100 * MIB), ({}, 199 * MIB), limits=Limits(memory=200 * MIB)) is None
    assert worn(({}, 100 * MIB), ({}, 201 * MIB), limits=Limits(memory=200 * MIB)) is Reason.MEMORY


def test_a_process_that_is_too_large_from_the_start_is_not_replaced_by_another_that_is(caplog):
    assert worn(({}, 201 * MIB), ({}, 400 * MIB), limits=Limits(memory=200 * MIB)) is None
    assert caplog.text.count("memory_limit_is_too_low") == 1


def test_without_limits_and_without_a_measure_nothing_wears_out():
    assert worn(({"settled:succeeded": 10**9}, 10**12), limits=Limits()) is None
    assert worn(({}, None), ({}, None), limits=Limits(memory=1)) is None


def test_a_trusted_tool_that_does_not_return_wears_its_process_out():
    wear = Wear()
    wear.blame([])
    before = wear.reason
    wear.blame(["mail.read", "disk.scan"])

    assert before is None
    assert wear.reason is Reason.LATE_TOOL
    assert wear.words == "replaced, trusted tools do not return: mail.read, disk.scan"


def test_so_does_an_abandoned_one():
    wear = Wear()
    wear.blame(abandoned=["mail.read"])

    assert wear.reason is Reason.ABANDONED_TOOL
    assert wear.words == "replaced, tools go on after they were canceled: mail.read"


def test_a_worn_process_may_linger_until_something_in_it_does_not_end():
    wear = Wear()
    wear.measure(counts={"settled:succeeded": 5}, memory=None, limits=Limits(runs=1))
    wear.blame(abandoned=["mail.read"])
    before = wear.may_linger
    wear.blame(late=["disk.scan"])

    assert (before, wear.may_linger, wear.reason) == (True, False, Reason.RUNS)


def test_the_first_reason_stands():
    wear = Wear()
    wear.find(Reason.OVERDUE, "overdue")
    wear.measure(counts={"settled:succeeded": 5}, memory=None, limits=Limits(runs=1))

    assert (wear.reason, wear.words) == (Reason.OVERDUE, "overdue")
