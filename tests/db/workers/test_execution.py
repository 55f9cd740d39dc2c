"""A run in a slot, from claim to settlement: with real rows, a real engine and tools of the test."""

import asyncio
import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from django.db import connection

from pipelines.errors import ErrorClass, PipelineError
from pipelines.tools.base import InDoubt, SideEffect, ToolSpec
from pipelines.tools.registry import ToolCatalog
from scheduling.audit.operations import Actor
from scheduling.models import DueWork, Run
from scheduling.runs.operations import retry_run
from tests.factories import DueWorkFactory, RunFactory, StepRunFactory, TaskFactory
from tests.workers_support import Bench, bench, change, due_work, reload, run, run_of, until
from workers.claim import Claimer
from workers.execution import Stop
from workers.explain import explain, explainable
from workers.models import StepRun, Wait

pytestmark = pytest.mark.django_db(transaction=True)

ANYTHING: Mapping[str, Any] = {}


@dataclass
class Tools:
    """A catalog of one tool, `test.call`, that does what the test says and remembers its calls."""

    answers: list[Any] = field(default_factory=lambda: [{"ok": True}])
    side_effect: SideEffect = SideEffect.EFFECT
    in_doubt: InDoubt = InDoubt.RETRY
    calls: list[Any] = field(default_factory=list)
    holds: bool = False
    seconds: float = 0.0

    async def call(self, context: Any, /, **given: Any) -> Any:
        self.calls.append((context.step_path, context.idempotency_key, context.now, given))
        if self.holds:
            await asyncio.Event().wait()
        if self.seconds:
            await asyncio.sleep(self.seconds)
        answer = self.answers[min(len(self.calls), len(self.answers)) - 1]
        if isinstance(answer, Exception):
            raise answer
        return answer

    @property
    def catalog(self) -> ToolCatalog:
        spec = ToolSpec(
            name="test.call",
            description="A tool of the tests.",
            input_schema=ANYTHING,
            output_schema=ANYTHING,
            side_effect=self.side_effect,
            in_doubt=self.in_doubt,
            call=self.call,
        )
        return ToolCatalog([spec])


def calling(*ids: str, **fields: Any) -> dict[str, Any]:
    steps = [{"id": step_id, "uses": "test.call", "with": {"to": "me"}, **fields} for step_id in ids or ("send",)]
    return {"version": 1, "steps": steps, "outputs": {"sent": f"${{steps.{steps[-1]['id']}}}"}}


def run_once(tools: Tools, *, slots: int = 4, times: int = 1) -> None:
    async def work() -> None:
        async with bench(slots=slots, catalog=tools.catalog) as process:
            for _ in range(times):
                await process.run_all()

    run(work())


def make_due() -> None:
    DueWork.objects.update(available_at=datetime.now(UTC) - timedelta(seconds=1))


def refusing(error_class: ErrorClass = ErrorClass.TRANSIENT) -> PipelineError:
    return PipelineError("refused", error_class, "no")


def test_a_run_calls_its_tool_and_keeps_the_result():
    work, tools = due_work(calling()), Tools()

    run_once(tools)

    ended = run_of(work)
    assert (ended.state, ended.output) == ("succeeded", {"sent": {"ok": True}})
    assert [(path, key) for path, key, _, _ in tools.calls] == [("send", f"{work.pk}:send")]
    assert StepRun.objects.get().state == "succeeded"
    assert reload(work) is None


@pytest.mark.parametrize("policy", [{}, {"retry": {"max_attempts": 2, "initial": "PT5S"}}])
def test_a_redriven_run_tries_again_the_step_that_failed_and_no_other(policy):
    refusals = [refusing(ErrorClass.PERMANENT)] if not policy else [refusing(), refusing()]
    tools = Tools(answers=[{"first": True}, *refusals, {"ok": True}])
    work = due_work(calling("first", "second"), task=policy)
    for _ in refusals:
        make_due()
        run_once(tools)
    assert run_of(work).state == "failed"

    retry_run(actor=Actor.system("tests"), run=run_of(work))
    run_once(tools)

    assert (run_of(work).state, [path for path, *_ in tools.calls]) == (
        "succeeded",
        ["first", *["second" for _ in refusals], "second"],
    )


def test_a_failed_run_is_tried_again_and_finished_steps_are_not():
    tools = Tools(answers=[{"first": True}, refusing(), {"ok": True}])
    work = due_work(calling("first", "second"), task={"retry": {"max_attempts": 2, "initial": "PT5S"}})

    run_once(tools)

    row, between = reload(work), run_of(work)
    assert (row.attempt, between.state, between.error["code"]) == (2, "queued", "refused")
    assert row.available_at > datetime.now(UTC)

    make_due()
    run_once(tools)

    ended = run_of(work)
    assert (ended.state, ended.attempt, ended.error) == ("succeeded", 2, None)
    assert [path for path, *_ in tools.calls] == ["first", "second", "second"]
    assert len({now for _, _, now, _ in tools.calls}) == 1
    assert list(StepRun.objects.filter(path="second").order_by("attempt").values_list("attempt", "state")) == [
        (1, "failed"),
        (2, "succeeded"),
    ]


def test_three_attempts_fail_and_leave_the_queue_empty():
    tools = Tools(answers=[refusing()])
    work = due_work(calling(), task={"retry": {"max_attempts": 3}})

    for _ in range(3):
        make_due()
        run_once(tools)

    ended = run_of(work)
    assert (ended.state, ended.cause, ended.attempt) == ("failed", "exhausted", 3)
    assert [entry.state for entry in StepRun.objects.order_by("attempt")] == ["failed"] * 3
    assert not DueWork.objects.exists()


@pytest.mark.parametrize("detail", ["a\0b", "a\ud800b", "a" * 9_000_000], ids=["nul", "surrogate", "long"])
def test_an_error_whose_text_cannot_be_stored_is_tried_again_as_its_class_says(detail):
    tools = Tools(answers=[PipelineError("busy", ErrorClass.TRANSIENT, detail)])
    work = due_work(calling(), task={"retry": {"max_attempts": 3}})

    for _ in range(3):
        make_due()
        run_once(tools)

    ended = run_of(work)
    assert (ended.state, ended.cause, ended.attempt, ended.error["code"]) == ("failed", "exhausted", 3, "busy")
    assert [entry.state for entry in StepRun.objects.order_by("attempt")] == ["failed"] * 3


def test_a_permanent_failure_is_not_tried_again():
    work = due_work(calling(), task={"retry": {"max_attempts": 3}})

    run_once(Tools(answers=[refusing(ErrorClass.PERMANENT)]))

    ended = run_of(work)
    assert (ended.state, ended.cause, ended.error["code"]) == ("failed", "permanent", "refused")


def test_a_long_step_backoff_parks_the_run_and_waking_goes_on():
    tools = Tools(answers=[refusing(), {"ok": True}])
    work = due_work(calling(retry={"max_attempts": 2, "initial": "PT3S"}))

    run_once(tools)

    assert (run_of(work).state, reload(work).lease_owner, Wait.objects.get().path) == ("waiting", None, "send")
    reason = next(iter(explain(explainable(work.pk)).reasons))
    assert (reason.code, reason.facts["step"], reason.facts["error"]["code"]) == ("step_retry_at", "send", "refused")

    DueWork.objects.update(available_at=datetime.now(UTC) - timedelta(seconds=1))
    StepRun.objects.update(finished_at=datetime.now(UTC) - timedelta(seconds=10))
    run_once(tools)

    assert (run_of(work).state, run_of(work).attempt) == ("succeeded", 1)
    assert not Wait.objects.exists()


def test_a_wait_parks_the_run_gives_its_worker_away_and_ends_at_its_instant():
    nap = {"id": "nap", "wait": {"for": "PT1H"}}
    work = due_work({"version": 1, "steps": [nap, {"id": "after", "set": {"at": "${steps.nap.until}"}}]})

    run_once(Tools())

    parked, wait = reload(work), Wait.objects.get()
    assert (run_of(work).state, parked.lease_owner, wait.path, wait.kind) == ("waiting", None, "nap", "timer")
    assert parked.available_at == wait.wake_at
    assert timedelta(minutes=59) < wait.wake_at - datetime.now(UTC) < timedelta(hours=1)
    reason = next(iter(explain(explainable(work.pk)).reasons))
    assert (reason.code, reason.facts["step"]) == ("waiting_timer", "nap")
    assert reason.sentence.startswith("Step nap waits until ")

    begun = StepRun.objects.get()
    run_once(Tools())
    assert (run_of(work).state, StepRun.objects.get().state) == ("waiting", "started")

    past = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    StepRun.objects.update(input=orjson.dumps({"until": past}))
    make_due()
    run_once(Tools())

    ended = StepRun.objects.get(path="nap")
    assert (run_of(work).state, ended.pk, ended.attempt, ended.state) == ("succeeded", begun.pk, 1, "succeeded")
    assert ended.started_at == begun.started_at
    assert not Wait.objects.exists()


def test_the_time_of_an_attempt_is_bounded():
    work = due_work(calling(), task={"timeout": timedelta(milliseconds=100)})

    run_once(Tools(holds=True))

    ended = run_of(work)
    assert (ended.state, ended.cause, ended.error["class"]) == ("failed", "deadline", "timeout")
    assert StepRun.objects.get().state == "interrupted"


def test_a_cancel_reaches_a_running_step():
    work, tools = due_work(calling()), Tools(holds=True)

    async def cancel_midway() -> None:
        async with bench(catalog=tools.catalog) as process:
            await process.pool.run_once()
            await until(lambda: bool(tools.calls))
            await change(work, cancel_requested_at=datetime.now(UTC))
            await process.pool.watch_once()
            await process.settled()

    run(cancel_midway())

    ended = run_of(work)
    assert (ended.state, ended.error["code"]) == ("canceled", "canceled")
    assert StepRun.objects.get().state == "canceled"


def test_a_run_that_was_canceled_before_its_claim_never_starts():
    work, tools = due_work(calling(), cancel_requested_at=datetime.now(UTC)), Tools()

    run_once(tools)

    assert run_of(work).state == "canceled"
    assert not tools.calls


def test_a_drain_hands_back_what_does_not_finish_in_its_grace():
    work, tools = due_work(calling()), Tools(holds=True)

    async def drain() -> Bench:
        async with bench(catalog=tools.catalog) as process:
            await process.pool.run_once()
            await until(lambda: bool(tools.calls))
            await process.pool.drain(timedelta(milliseconds=50))
            return process

    process = run(drain())

    row = reload(work)
    assert (row.lease_owner, row.attempt, row.handback_count) == (None, 1, 1)
    assert run_of(work).state == "queued"
    assert StepRun.objects.get().state == "interrupted"
    assert process.tally["settled:handed_back"] == 1


def test_what_waits_for_a_slot_goes_back_as_if_it_had_not_been_claimed():
    tools = Tools(holds=True)
    for _ in range(4):
        due_work(calling())

    async def drain() -> None:
        async with bench(slots=2, catalog=tools.catalog) as process:
            await process.pool.run_once()
            await until(lambda: len(tools.calls) == 2)
            await process.pool.drain(timedelta(0))

    run(drain())

    assert sorted(DueWork.objects.values_list("handback_count", flat=True)) == [0, 0, 1, 1]
    assert not DueWork.objects.exclude(lease_owner=None).exists()


def test_a_drain_that_comes_before_the_first_step_hands_back_too():
    work = due_work(calling())

    async def drain() -> None:
        async with bench(catalog=Tools().catalog) as process:
            await process.pool.run_once()
            for execution in process.pool._running.values():
                execution.stop(Stop.DRAIN)
            await process.settled()

    run(drain())

    assert (run_of(work).state, reload(work).handback_count) == ("queued", 1)


def test_a_second_signal_puts_everything_back_at_once():
    work, tools = due_work(calling()), Tools(holds=True)

    async def hurry() -> None:
        async with bench(catalog=tools.catalog) as process:
            await process.pool.run_once()
            await until(lambda: bool(tools.calls))
            await process.pool.release_all()

    run(hurry())

    row = reload(work)
    assert (row.lease_owner, row.attempt, row.handback_count) == (None, 1, 1)
    assert StepRun.objects.get().state == "started"


def test_a_lost_run_is_dropped_without_a_word():
    work, tools = due_work(calling()), Tools(holds=True)

    async def lose() -> None:
        async with bench(catalog=tools.catalog) as process:
            await process.pool.run_once()
            await until(lambda: bool(tools.calls))
            await change(work, lease_owner=None, claimed_at=None, lease_epoch=10**9)
            await process.pool.watch_once()
            await process.settled()

    run(lose())

    assert run_of(work).state == "queued"
    assert StepRun.objects.get().state == "started"


@pytest.mark.parametrize(
    ("in_doubt", "state", "cause", "calls"), [("retry", "succeeded", "", 1), ("fail", "failed", "in_doubt", 0)]
)
def test_a_call_whose_end_nobody_knows_is_settled_as_its_tool_says(in_doubt, state, cause, calls):
    work = due_work(calling(), task={"retry": {"max_attempts": 3}}, claim_count=1)
    StepRunFactory(run_id=work.pk, run=None, path="send", uses="test.call", state="started", finished_at=None)
    tools = Tools(in_doubt=InDoubt(in_doubt))

    run_once(tools)

    ended = run_of(work)
    assert (ended.state, ended.cause, len(tools.calls)) == (state, cause, calls)


def test_a_document_that_cannot_be_compiled_fails_its_run_clearly():
    bad, good = due_work({"version": 1, "steps": [{"id": "x", "conjure": 1}]}), due_work(calling())

    run_once(Tools())

    ended = run_of(bad)
    assert (ended.state, ended.cause, ended.error["code"]) == ("failed", "permanent", "document_invalid")
    assert run_of(good).state == "succeeded"


def test_a_revision_that_is_gone_fails_its_run():
    work = due_work(calling())
    connection.cursor().execute("UPDATE scheduling_run SET revision_id = gen_random_uuid() WHERE id = %s", [work.pk])

    run_once(Tools())

    assert run_of(work).error["code"] == "revision_missing"


def test_a_tool_that_this_host_lacks_sends_the_run_to_another():
    work = due_work({"version": 1, "steps": [{"id": "x", "uses": "elsewhere.tool"}]})

    run_once(Tools())

    row = reload(work)
    assert (row.attempt, row.handback_count, row.lease_owner) == (1, 1, None)
    assert row.available_at > datetime.now(UTC) + timedelta(seconds=10)
    assert run_of(work).error["code"] == "tools_missing"
    assert "elsewhere.tool" in run_of(work).error["detail"]


def test_a_run_whose_own_row_is_gone_leaves_the_queue():
    work = due_work(calling())
    connection.cursor().execute("DELETE FROM scheduling_run WHERE id = %s", [work.pk])

    run_once(Tools())

    assert reload(work) is None


def test_the_next_held_run_of_a_task_goes_when_the_live_one_ends():
    task = TaskFactory(document=calling(), overlap="queue_all")
    first = DueWorkFactory(run=RunFactory(task=task))
    held = DueWorkFactory(run=RunFactory(task=task), gate="overlap")

    async def work() -> None:
        async with bench(catalog=Tools().catalog) as process:
            await process.run_all()

    run(work())

    assert run_of(first).state == "succeeded"
    assert reload(held).gate is None


def test_one_suspect_is_held_at_a_time():
    tools = Tools(holds=True)
    for _ in range(3):
        due_work(calling(), gate="suspect", is_suspect=True)

    async def work() -> None:
        async with bench(slots=3, catalog=tools.catalog) as process:
            for _ in range(3):
                process.pool._suspects_at = 0.0
                await process.pool.run_once()
            assert process.pool.running_count == 1

    run(work())

    assert DueWork.objects.filter(gate="suspect").count() == 2


def test_a_pure_step_costs_no_commit_of_its_own():
    tools = Tools(side_effect=SideEffect.PURE)
    due_work(calling("a", "b", "c"))

    async def work() -> int:
        async with bench(catalog=tools.catalog) as process:
            await process.run_all()
            return process.tally["commits"]

    assert run(work()) == 1
    assert StepRun.objects.filter(state="succeeded").count() == 3


def test_a_lease_that_the_process_knows_nothing_of_is_found_and_let_go():
    """A claim that arrived after its answer was given up, and after the process had looked for what it might hold."""
    work, tools = due_work(calling()), Tools()

    async def lose_the_answer() -> None:
        async with bench(catalog=tools.catalog) as process:
            await Claimer(process.database, boot_id=process.boot_id, queues=["default"]).claim(limit=1)
            await process.pool.let_strays_go()
            await process.run_all()

    run(lose_the_answer())

    assert run_of(work).state == "succeeded"


def test_suspects_follow_one_another_as_fast_as_they_end():
    """All runs of a process that died are suspects: hundreds of innocents must not wait a second each."""
    works = [due_work(calling(), gate="suspect", is_suspect=True) for _ in range(8)]
    tools = Tools()

    async def work_off() -> None:
        async with bench(catalog=tools.catalog) as process:
            working = asyncio.create_task(process.pool.run())
            await until(lambda: len(tools.calls) == len(works), within=4)
            process.pool.stop_claiming()
            await working
            await process.settled()

    run(work_off())

    assert {run_of(work).state for work in works} == {"succeeded"}


def test_suspects_do_not_wait_for_the_end_of_a_backlog():
    """What was claimed ahead took every slot as soon as it was free: the next suspect never found one."""
    soon = datetime.now(UTC) + timedelta(seconds=1.5)  # when the process is at full speed
    for _ in range(3):
        due_work(calling("suspect"), gate="suspect", is_suspect=True, priority=9, available_at=soon)
    for _ in range(200):
        due_work(calling("other"), priority=5)
    tools = Tools(seconds=0.05)

    async def work_off() -> list[str]:
        async with bench(slots=2, catalog=tools.catalog) as process:
            working = asyncio.create_task(process.pool.run())
            await until(lambda: len(tools.calls) == 203, within=18)
            process.pool.stop_claiming()
            await working
            await process.settled()
            return [path for path, *_ in tools.calls]

    order = run(work_off())

    suspects = [place for place, path in enumerate(order) if path == "suspect"]
    assert suspects[-1] - suspects[0] < 15  # each has the next slot that is free after the one before
    assert suspects[-1] < 160  # looked for once a second


def test_a_slot_is_not_kept_for_a_suspect_that_another_process_has_taken():
    [*_, last] = [due_work(calling(f"first_{number}"), priority=1) for number in range(2)]
    suspect = due_work(calling("suspect"), gate="suspect", is_suspect=True)
    tools = Tools(seconds=0.1)

    async def work_off() -> None:
        async with bench(slots=1, catalog=tools.catalog) as process:
            process.pool._suspects_at = time.monotonic() + 60
            await process.pool.run_once()
            process.pool._suspects_at = 0.0
            await process.pool.run_once()  # sees it, and keeps the slot
            async with bench(slots=1) as other:
                claimer = Claimer(other.database, boot_id=other.boot_id, queues=["default"])
                assert await claimer.claim_suspect() is not None
            working = asyncio.create_task(process.pool.run())
            await until(lambda: len(tools.calls) == 2)
            process.pool.stop_claiming()
            await working
            await process.settled()

    run(work_off())

    assert run_of(last).state == "succeeded"
    assert reload(suspect).lease_owner is not None


def test_what_runs_last_waits_for_the_last_attempt_of_the_run():
    tools = Tools(answers=[refusing()])
    document = calling("send") | {
        "outputs": {},
        "on_error": [{"id": "alarm", "set": {"code": "${error.code}"}}],
        "finally": [{"id": "tidy", "set": {"step": "${error.step}"}}],
    }
    work = due_work(document, task={"retry": {"max_attempts": 2}})

    run_once(tools)
    before = list(StepRun.objects.values_list("path", flat=True))
    make_due()
    run_once(tools)

    assert before == ["send"]
    assert list(StepRun.objects.order_by("pk").values_list("path", "run_attempt", "state")) == [
        ("send", 1, "failed"),
        ("send", 2, "failed"),
        ("alarm", 2, "succeeded"),
        ("tidy", 2, "succeeded"),
    ]
    ended = run_of(work)
    assert (ended.state, ended.cause, ended.error["code"], ended.error["step"]) == (
        "failed",
        "exhausted",
        "refused",
        "send",
    )


def test_a_run_that_only_computes_nests_without_a_task():
    branch = {"id": "b", "switch": {"cases": [{"when": "true", "steps": [{"id": "a", "set": {"n": 1}}]}]}}
    work = due_work({"version": 1, "steps": [branch], "outputs": {"n": "${steps.a.n}"}})

    run_once(Tools())

    assert (run_of(work).state, run_of(work).output) == ("succeeded", {"n": 1})
    assert list(StepRun.objects.order_by("pk").values_list("path", "kind")) == [("a", "set"), ("b", "switch")]


class Stubborn(Tools):
    """Swallows the cancellation of its call and succeeds all the same."""

    async def call(self, context, /, **given):
        self.calls.append(given)
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return {"ok": True}


def test_a_run_whose_tool_swallows_the_cancellation_is_canceled_all_the_same():
    work, tools = due_work(calling()), Stubborn()

    async def cancel_midway() -> None:
        async with bench(catalog=tools.catalog) as process:
            await process.pool.run_once()
            await until(lambda: bool(tools.calls))
            await change(work, cancel_requested_at=datetime.now(UTC))
            await process.pool.watch_once()
            await process.settled()

    run(cancel_midway())

    assert run_of(work).state == "canceled"


def test_a_tool_that_swallows_a_cancellation_is_canceled_again():
    class Deaf(Tools):
        async def call(self, context, /, **given):
            self.calls.append(given)
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            await asyncio.Event().wait()

    work, tools = due_work(calling()), Deaf()

    async def cancel_midway() -> None:
        async with bench(catalog=tools.catalog) as process:
            await process.pool.run_once()
            await until(lambda: bool(tools.calls))
            await change(work, cancel_requested_at=datetime.now(UTC))
            watching = asyncio.create_task(process.pool.watch())
            await process.settled()
            watching.cancel()

    run(cancel_midway())

    assert run_of(work).state == "canceled"


def test_a_run_whose_tool_swallows_the_end_of_its_time_has_timed_out():
    work = due_work(calling(), task={"timeout": timedelta(milliseconds=100)})

    run_once(Stubborn())

    assert (run_of(work).state, run_of(work).cause) == ("failed", "deadline")


def test_a_redrive_gives_the_time_of_the_policy_anew():
    tools = Tools(answers=[refusing(ErrorClass.PERMANENT), refusing()])
    work = due_work(calling(), task={"retry": {"max_attempts": 3, "max_elapsed": "PT10M"}})
    run_once(tools)
    Run.objects.filter(pk=work.pk).update(started_at=datetime.now(UTC) - timedelta(days=1))

    retry_run(actor=Actor.system("tests"), run=run_of(work))
    run_once(tools)

    assert (run_of(work).state, reload(work).attempt) == ("queued", 2)


class Tidying(Tools):
    """A step that holds on and one that runs last, which holds on as well where it is to."""

    tidies_for = 0.0

    async def call(self, context, /, **given):
        self.calls.append(context.step_path)
        if context.step_path != "tidy":
            await asyncio.Event().wait()
        await asyncio.sleep(self.tidies_for)
        return {"ok": True}


TIDY = {**calling("held"), "outputs": {}, "finally": [{"id": "tidy", "uses": "test.call", "with": {}}]}


def cut_short(work: DueWork, tools: Tools, *, cancel: bool) -> None:
    async def midway() -> None:
        async with bench(catalog=tools.catalog) as process:
            await process.pool.run_once()
            await until(lambda: bool(tools.calls))
            if cancel:
                await change(work, cancel_requested_at=datetime.now(UTC))
                await process.pool.watch_once()
            await process.settled()

    run(midway())


def states_of_steps() -> dict[str, str]:
    return dict(StepRun.objects.values_list("path", "state"))


def test_a_run_that_is_canceled_runs_what_runs_last():
    work, tools = due_work(TIDY), Tidying()

    cut_short(work, tools, cancel=True)

    assert (run_of(work).state, tools.calls) == ("canceled", ["held", "tidy"])
    assert states_of_steps() == {"held": "canceled", "tidy": "succeeded"}


def test_a_run_whose_time_is_over_runs_what_runs_last():
    work, tools = due_work(TIDY, task={"timeout": timedelta(milliseconds=200)}), Tidying()

    cut_short(work, tools, cancel=False)

    assert (run_of(work).state, run_of(work).cause, tools.calls) == ("failed", "deadline", ["held", "tidy"])
    assert states_of_steps() == {"held": "canceled", "tidy": "succeeded"}


def test_what_runs_last_has_the_grace_and_no_longer(settings):
    settings.ORDINAUT_GRACE = timedelta(milliseconds=200)
    work, tools = due_work(TIDY), Tidying()
    tools.tidies_for = 60.0

    cut_short(work, tools, cancel=True)

    assert (run_of(work).state, tools.calls) == ("canceled", ["held", "tidy"])
    assert states_of_steps() == {"held": "canceled", "tidy": "canceled"}


def test_a_run_that_another_process_had_begun_runs_what_runs_last_when_it_is_canceled_at_its_claim():
    work, tools = due_work(TIDY, claim_count=1, cancel_requested_at=datetime.now(UTC)), Tidying()
    StepRunFactory(run=work.run, path="held", attempt=1, state="interrupted", kind="tool", uses="test.call")

    run_once(tools)

    assert (run_of(work).state, tools.calls) == ("canceled", ["tidy"])


def test_a_lost_lease_ends_what_runs_last_too():
    work, tools = due_work(TIDY), Tidying()
    tools.tidies_for = 60.0

    async def lose_it() -> None:
        async with bench(catalog=tools.catalog) as process:
            await process.pool.run_once()
            await until(lambda: bool(tools.calls))
            await change(work, cancel_requested_at=datetime.now(UTC))
            await process.pool.watch_once()
            await until(lambda: tools.calls == ["held", "tidy"])
            await change(work, lease_epoch=10_000)
            await process.pool.watch_once()
            await process.settled()

    run(lose_it())

    assert reload(work) is not None
