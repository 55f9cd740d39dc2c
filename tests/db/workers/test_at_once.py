"""Runs that only compute are carried out at once, without a task of their own, and end as all others do."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.workers_support import bench, change, due_work, reload, run, run_of
from workers.execution import Execution, Stop
from workers.models import StepRun

pytestmark = pytest.mark.django_db(transaction=True)


def computing(*steps: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"version": 1, "steps": list(steps or [{"id": "note", "set": {"done": True}}]), **fields}


@pytest.fixture
def tasks(monkeypatch: pytest.MonkeyPatch) -> list[Execution]:
    """The executions that got a task of their own."""
    seen: list[Execution] = []
    run_in_task = Execution.run

    async def noted(self: Execution) -> None:
        seen.append(self)
        await run_in_task(self)

    monkeypatch.setattr(Execution, "run", noted)
    return seen


def run_all() -> None:
    async def work() -> None:
        async with bench(slots=4) as process:
            await process.run_all()

    run(work())


def test_it_succeeds_with_its_step_and_its_outputs(tasks: list[Execution]) -> None:
    work = due_work(computing({"id": "sum", "set": {"total": "${params.a}"}}, outputs={"is": "${steps.sum.total}"}))
    work.run.params = {"a": 5}
    work.run.save(update_fields=["params"])

    run_all()

    ended, step = run_of(work), StepRun.objects.get(run=work.pk)
    assert (ended.state, ended.output, ended.attempt) == ("succeeded", {"is": 5}, 1)
    assert (step.path, step.state, step.output) == ("sum", "succeeded", {"total": 5})
    assert ended.started_at is not None
    assert ended.finished_at is not None
    assert reload(work) is None
    assert tasks == []


def test_it_fails_with_the_documents_own_error(tasks: list[Execution]) -> None:
    work = due_work(computing({"id": "no", "fail": {"code": "not_today", "message": "No."}}))

    run_all()

    ended = run_of(work)
    assert (ended.state, ended.cause) == ("failed", "permanent")
    assert (ended.error["code"], ended.error["step"]) == ("not_today", "no")
    assert tasks == []


def test_a_failed_attempt_of_the_run_is_tried_again_later(tasks: list[Execution]) -> None:
    work = due_work(
        computing({"id": "no", "fail": {"code": "later", "message": "No."}}),
        task={"retry": {"max_attempts": 2, "on": ["later"], "initial": "PT30S", "jitter": False}},
    )

    run_all()

    again = reload(work)
    assert again is not None
    assert (again.attempt, again.lease_owner) == (2, None)
    assert again.available_at > datetime.now(UTC) + timedelta(seconds=20)
    assert tasks == []


def test_a_step_that_waits_before_it_is_tried_again_gets_a_task(tasks: list[Execution]) -> None:
    failing = {"id": "no", "fail": {"code": "soon", "message": "No."}}
    work = due_work(computing({**failing, "retry": {"max_attempts": 2, "on": ["soon"], "initial": "PT0.05S"}}))

    run_all()

    assert [entry.attempt for entry in StepRun.objects.filter(run=work.pk).order_by("attempt")] == [1, 2]
    assert run_of(work).state == "failed"
    assert len(tasks) == 1


def test_one_with_more_steps_than_a_look_at_the_loop_may_wait_for_gets_a_task(tasks: list[Execution]) -> None:
    work = due_work(computing(*({"id": f"step_{number}", "set": {"n": number}} for number in range(21))))

    run_all()

    assert (run_of(work).state, StepRun.objects.filter(run=work.pk).count(), len(tasks)) == ("succeeded", 21, 1)


def test_one_that_somebody_has_canceled_does_not_compute(tasks: list[Execution]) -> None:
    work = due_work(computing(), cancel_requested_at=datetime.now(UTC))

    run_all()

    assert (run_of(work).state, StepRun.objects.count()) == ("canceled", 0)


def test_one_past_its_deadline_fails_by_it(tasks: list[Execution]) -> None:
    work = due_work(computing(), deadline_at=datetime.now(UTC) - timedelta(seconds=1))

    run_all()

    assert (run_of(work).state, run_of(work).cause) == ("failed", "deadline")


def test_one_whose_lease_is_gone_settles_nothing() -> None:
    work = due_work(computing())

    async def lose() -> None:
        async with bench(slots=4) as process:
            claimed = await process.pool._claimer.claim(limit=1)
            await change(work, lease_epoch=claimed[0].lease_epoch + 1)
            await process.pool._take(claimed)
            await process.settled()
            assert process.tally["lost_leases"] == 1

    run(lose())

    assert run_of(work).state == "queued"
    assert StepRun.objects.count() == 0


def test_a_drain_waits_until_its_settlement_is_written() -> None:
    work = due_work(computing())

    async def drain() -> None:
        async with bench(slots=4) as process:
            await process.pool.run_once()
            await process.pool.drain(timedelta(seconds=5))
            assert process.pool.running_count == 0

    run(drain())

    assert run_of(work).state == "succeeded"


def test_a_stop_that_comes_while_it_is_settled_changes_nothing() -> None:
    work = due_work(computing())

    async def stop() -> None:
        async with bench(slots=4) as process:
            await process.pool.run_once()
            for execution in list(process.pool._running.values()):
                execution.stop(Stop.CANCEL)
            await process.run_all()

    run(stop())

    assert run_of(work).state == "succeeded"


def test_many_that_compute_for_long_do_not_silence_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The supervisor kills a process whose loop stands still: a host may claim hundreds of these at once."""
    carry_out = Execution._execution_of

    def dear(self: Execution, pipeline: Any) -> Any:
        time.sleep(0.03)
        return carry_out(self, pipeline)

    monkeypatch.setattr(Execution, "_execution_of", dear)
    works = [due_work(computing()) for _ in range(60)]
    stalls: list[float] = []

    async def tick() -> None:
        last = time.monotonic()
        while True:
            await asyncio.sleep(0)
            stalls.append(time.monotonic() - last)
            last = time.monotonic()

    async def work() -> None:
        async with bench(slots=60) as process:
            ticking = asyncio.create_task(tick())
            await process.run_all()
            ticking.cancel()

    run(work())

    assert {run_of(work).state for work in works} == {"succeeded"}
    assert max(stalls) < 0.5, max(stalls)


NAMES = ("run", "task", "params", "now", "event")


@pytest.mark.parametrize("values", [{"all": "${@}"}, {"all": {name: f"${{{name}}}" for name in NAMES}}])
def test_its_expressions_see_all_of_the_run_that_they_speak_of(values: dict[str, Any]) -> None:
    work = due_work(computing({"id": "one", "set": values}))
    task = work.task
    work.run.params, work.run.scheduled_for = {"city": "Chisinau"}, datetime(2026, 1, 1, 7, tzinfo=UTC)
    work.run.save(update_fields=["params", "scheduled_for"])

    run_all()

    seen = StepRun.objects.get(run=work.pk).output["all"]
    assert seen["run"] == {
        "id": str(work.pk),
        "attempt": 1,
        "scheduled_for": "2026-01-01T07:00:00Z",
        "started_at": seen["now"],
        "trigger": "manual",
        "simulated": False,
    }
    assert seen["task"] == {"id": str(task.pk), "title": task.title, "labels": task.labels}
    assert (seen["params"], seen["event"]) == ({"city": "Chisinau"}, None)
