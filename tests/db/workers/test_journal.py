"""What the writer commits, whose writes are void, and how one bad entry is kept from hurting the others."""

import asyncio
import uuid
from collections import Counter
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import ANY

import pytest

from pipelines.engine.ports import StepEntry, StepState
from pipelines.errors import PipelineError
from scheduling.models import DueWork, Run
from scheduling.runs.states import FailureCause, RunState
from tests.factories import DueWorkFactory, RunFactory, TaskFactory
from tests.workers_support import change, claimer, database, due_work, reload, run, run_of
from workers.history import load_histories
from workers.journal import JournalRefused, JournalWriter, LeaseLost, RunJournal
from workers.models import Artifact, StepRun, Wait
from workers.selectors import steps_of
from workers.settlement import Settlement
from workers.tally import Tally

pytestmark = pytest.mark.django_db(transaction=True)

SUCCEEDED = Settlement(state=RunState.SUCCEEDED, attempt=1, is_final=True, output={"n": 1})


def step(path="note", *, state=StepState.SUCCEEDED, attempt=1, **fields):
    now = datetime.now(UTC)
    return StepEntry(path=path, kind="set", state=state, attempt=attempt, started_at=now, finished_at=now, **fields)


@asynccontextmanager
async def leased(count=1):
    """A writer at work and the journals of the runs that its process has claimed."""
    boot_id = uuid.uuid4()
    async with claimer(boot_id) as claims, database() as opened:
        claimed = await claims.claim(limit=count)
        tally: Tally = Counter()
        writer = JournalWriter(opened, boot_id=boot_id, may_write=lambda: True, tally=tally)
        writing = asyncio.create_task(writer.run())
        journals = [RunJournal(writer, run_id=each.run_id, epoch=each.lease_epoch, tally=tally) for each in claimed]
        try:
            yield writer, journals
        finally:
            writing.cancel()


def settle_one(settlement, *entries):
    async def work():
        async with leased() as (_, [journal]):
            for entry in entries:
                await journal.record(entry, barrier=False)
            await journal.settle(settlement)

    run(work())


def test_the_end_of_a_run_takes_its_due_work_away_and_keeps_its_result():
    work = due_work()

    settle_one(SUCCEEDED, step(output={"n": 1}))

    ended = run_of(work)
    assert reload(work) is None
    assert (ended.state, ended.cause, ended.output, ended.error) == ("succeeded", "", {"n": 1}, None)
    assert ended.started_at is not None
    assert ended.finished_at is not None
    assert ended.finished_at >= ended.started_at
    assert StepRun.objects.get(run=ended).output == {"n": 1}


def test_an_entry_without_a_barrier_rides_with_the_settlement_in_one_commit():
    due_work()

    async def work():
        async with leased() as (writer, [journal]):
            await journal.record(step(), barrier=False)
            before = writer._tally["commits"]
            await journal.settle(SUCCEEDED)
            return before, writer._tally["commits"]

    assert run(work()) == (0, 1)
    assert StepRun.objects.count() == 1


def test_a_barrier_is_committed_when_record_returns():
    work = due_work()

    async def record():
        async with leased() as (_, [journal]):
            await journal.record(step(), barrier=True)

    run(record())

    assert StepRun.objects.get().run_id == work.pk
    assert reload(work).lease_owner is not None


def test_entries_of_many_slots_share_a_commit():
    for _ in range(50):
        due_work()

    async def work():
        async with leased(50) as (writer, journals):
            await asyncio.gather(*(journal.settle(SUCCEEDED) for journal in journals))
            return writer._tally["commits"]

    assert run(work()) <= 2
    assert not DueWork.objects.exists()
    assert Run.objects.filter(state="succeeded").count() == 50


def test_an_intent_becomes_a_result_and_a_result_stands():
    due_work()

    async def work():
        async with leased() as (_, [journal]):
            await journal.record(step(state=StepState.STARTED, input={"a": 1}), barrier=True)
            await journal.record(step(output={"first": True}), barrier=True)
            await journal.record(step(output={"second": True}), barrier=True)

    run(work())

    entry = StepRun.objects.get()
    assert (entry.state, entry.input, entry.output) == ("succeeded", {"a": 1}, {"first": True})


def test_a_stale_epoch_changes_nothing_and_its_slot_hears_so():
    work = due_work()

    async def write_late():
        async with leased() as (writer, [journal]):
            await change(work, lease_epoch=10**9)
            with pytest.raises(LeaseLost):
                await journal.record(step(), barrier=True)
            with pytest.raises(LeaseLost):
                await journal.settle(SUCCEEDED)
            return writer._tally["lost_leases"]

    lost = run(write_late())

    assert lost == 2
    assert reload(work) is not None
    assert run_of(work).state == "queued"
    assert not StepRun.objects.exists()


def test_a_lost_run_does_not_take_the_batch_with_it():
    mine, others = due_work(), due_work()

    async def work():
        async with leased(2) as (_, journals):
            await change(others, lease_owner=uuid.uuid4())
            return await asyncio.gather(*(journal.settle(SUCCEEDED) for journal in journals), return_exceptions=True)

    results = run(work())

    assert sorted(type(result).__name__ for result in results) == ["LeaseLost", "NoneType"]
    assert run_of(mine).state == "succeeded"
    assert run_of(others).state == "queued"


def test_a_retry_goes_back_to_the_queue_with_the_next_attempt():
    work = due_work()
    before = datetime.now(UTC)

    settle_one(
        Settlement(
            state=RunState.QUEUED, attempt=2, is_final=False, delay=timedelta(seconds=90), error={"code": "timeout"}
        )
    )

    row, ended = reload(work), run_of(work)
    assert (row.attempt, row.lease_owner, row.claimed_at, row.handback_count) == (2, None, None, 0)
    assert before + timedelta(seconds=89) < row.available_at < before + timedelta(seconds=100)
    assert (ended.state, ended.attempt, ended.error, ended.finished_at) == ("queued", 2, {"code": "timeout"}, None)


def test_a_parked_run_waits_and_keeps_the_deadline_of_its_attempt():
    work = DueWorkFactory(run=RunFactory(task=TaskFactory(timeout=timedelta(hours=1))))
    until = datetime.now(UTC) + timedelta(minutes=5)

    settle_one(Settlement(state=RunState.WAITING, attempt=1, is_final=False, until=until, wait_path="send"))

    row = reload(work)
    assert (run_of(work).state, row.available_at, row.attempt) == ("waiting", until, 1)
    assert row.deadline_at is not None
    assert Wait.objects.get().wake_at == until


def test_a_run_that_goes_on_forgets_what_it_waited_for():
    work = due_work()
    Wait.objects.create(run_id=work.pk, path="send", kind="timer", wake_at=datetime.now(UTC))

    async def go_on():
        async with leased() as (writer, [journal]):
            woken = RunJournal(writer, run_id=work.pk, epoch=journal._epoch, tally=Counter(), wakes=True)
            await woken.settle(SUCCEEDED)

    run(go_on())

    assert not Wait.objects.exists()


def test_a_hand_back_is_counted_keeps_its_place_and_costs_no_attempt():
    due_since = datetime.now(UTC) - timedelta(minutes=10)
    work = due_work(available_at=due_since)

    settle_one(Settlement(state=RunState.QUEUED, attempt=1, is_final=False, handbacks=1))

    row = reload(work)
    assert (row.attempt, row.handback_count, row.available_at) == (1, 1, due_since)


def test_a_hand_back_for_a_lacking_tool_comes_later():
    work = due_work()

    later = Settlement(state=RunState.QUEUED, attempt=1, is_final=False, handbacks=1, delay=timedelta(seconds=30))
    settle_one(later)

    assert reload(work).available_at > datetime.now(UTC) + timedelta(seconds=20)


def test_an_orderly_outcome_clears_a_suspect_and_a_hand_back_does_not():
    cleared, still = due_work(is_suspect=True), due_work(is_suspect=True)
    outcome = {
        cleared.pk: Settlement(state=RunState.QUEUED, attempt=2, is_final=False),
        still.pk: Settlement(state=RunState.QUEUED, attempt=1, is_final=False, handbacks=1),
    }

    async def work():
        async with leased(2) as (_, journals):
            await asyncio.gather(*(journal.settle(outcome[journal._run_id]) for journal in journals))

    run(work())

    assert (reload(cleared).is_suspect, reload(cleared).gate) == (False, None)
    assert (reload(still).is_suspect, reload(still).gate) == (True, "suspect")


def test_a_keyed_run_that_sleeps_gives_its_room_away():
    work = due_work(concurrency_key="agent:mail")

    settle_one(Settlement(state=RunState.QUEUED, attempt=2, is_final=False, delay=timedelta(minutes=1)))

    assert reload(work).gate == "key"


def test_a_canceled_run_does_not_sleep_on():
    work = due_work()

    async def retry_canceled():
        async with leased() as (_, [journal]):
            await change(work, cancel_requested_at=datetime.now(UTC))
            await journal.settle(Settlement(state=RunState.QUEUED, attempt=2, is_final=False, delay=timedelta(hours=1)))

    run(retry_canceled())

    assert reload(work).available_at <= datetime.now(UTC)


def test_what_the_database_refuses_fails_its_own_run_only():
    good, bad = due_work(), due_work()
    too_long = step("x" * 500)

    async def work():
        async with leased(2) as (_, journals):
            for journal in journals:
                if journal._run_id == bad.pk:
                    await journal.record(too_long, barrier=False)
            return await asyncio.gather(*(journal.settle(SUCCEEDED) for journal in journals), return_exceptions=True)

    results = run(work())

    assert sorted(type(result).__name__ for result in results) == ["JournalRefused", "NoneType"]
    assert run_of(good).state == "succeeded"
    assert run_of(bad).state == "queued"


def test_a_finished_step_cannot_be_written_twice():
    due_work()

    async def work():
        async with leased() as (_, [journal]):
            await journal.record(step(attempt=1), barrier=True)
            with pytest.raises(JournalRefused):
                await journal.record(step(attempt=2), barrier=True)

    run(work())

    assert StepRun.objects.count() == 1


@pytest.mark.parametrize("value", [{"n": float("nan")}, {"t": "a\x00b"}, {"t": "\ud800"}, {"n": 2**60}])
def test_what_would_not_come_back_as_it_went_in_is_refused_before_it_is_queued(value):
    due_work()

    async def work():
        async with leased() as (_, [journal]):
            with pytest.raises(PipelineError, match="unstorable"):
                await journal.record(step(output=value), barrier=True)

    run(work())


def test_a_large_result_becomes_an_artifact_and_comes_back_whole():
    work = due_work()
    large = {"text": "é" * 40_000}

    async def record_and_load():
        async with leased() as (_, [journal]):
            await journal.record(step("a", output=large), barrier=True)
            await journal.record(step("b", output=large), barrier=True)
        async with database() as opened:
            return await load_histories(opened, [work.pk])

    histories, damaged = run(record_and_load())

    assert not damaged
    assert [entry.output for entry in histories[work.pk]] == [large, large]
    assert Artifact.objects.count() == 1
    assert set(StepRun.objects.values_list("output", flat=True)) == {None}


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"text": "x" * 40_000, "until": "then"}, {"text": ANY, "until": "then"}),
        ({"a": "x" * 20_000, "b": ["y" * 20_000], "c": 1}, {"a": ANY, "b": ANY, "c": 1}),
        (["x" * 40_000], ANY),
        ({f"n{n}": "x" * 100 for n in range(1_000)}, ANY),
    ],
)
def test_of_a_large_input_size_and_digest_stand_in_for_what_is_large(given: Any, kept: Any):
    due_work()

    settle_one(SUCCEEDED, step(input=given))

    found = StepRun.objects.get().input
    assert found == kept
    stand_ins = [found] if kept is ANY else [found[name] for name, value in kept.items() if value is ANY]
    for stand_in in stand_ins:
        assert stand_in["truncated"]["bytes"] > 20_000
        assert len(stand_in["truncated"]["sha256"]) == 64


def test_a_damaged_journal_is_told_apart_from_the_others():
    broken, whole = due_work(), due_work()
    for work in (broken, whole):
        StepRun.objects.create(run_id=work.pk, path="a", attempt=1, kind="set", state="succeeded", output=b"{}")
    StepRun.objects.filter(run_id=broken.pk).update(output=b"{nonsense")

    async def load():
        async with database() as opened:
            return await load_histories(opened, [broken.pk, whole.pk])

    histories, damaged = run(load())

    assert list(damaged) == [broken.pk]
    assert len(histories[whole.pk]) == 1


def test_a_process_that_is_late_writes_nothing():
    work = due_work()

    async def settle_late():
        async with leased() as (writer, [journal]):
            writer._may_write = lambda: False
            with pytest.raises(LeaseLost):
                await journal.settle(SUCCEEDED)

    run(settle_late())

    assert run_of(work).state == "queued"


def test_a_failed_run_names_its_cause():
    work = due_work()

    settle_one(
        Settlement(
            state=RunState.FAILED,
            attempt=1,
            is_final=True,
            cause=FailureCause.PERMANENT,
            error={"code": "refused", "class": "permanent"},
        )
    )

    ended = run_of(work)
    assert (ended.state, ended.cause, ended.error["code"]) == ("failed", "permanent", "refused")


@pytest.mark.parametrize("runs", [1, 3])
def test_entries_of_one_batch_are_read_in_the_order_in_which_steps_ended(runs: int):
    """Whatever the plan of the join is."""
    for _ in range(runs):
        due_work()
    paths = [f"s{place}" for place in range(30, 0, -1)]

    async def work():
        async with leased(runs) as (_, journals):
            for path in paths:
                for journal in journals:
                    await journal.record(step(path), barrier=False)
            await asyncio.gather(*(journal.settle(SUCCEEDED) for journal in journals))

    run(work())

    for each in Run.objects.all():
        assert [entry.path for entry in steps_of(each.pk)] == paths
