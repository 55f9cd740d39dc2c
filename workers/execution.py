"""One run in one slot: from its brief, through the engine, to the settlement that is acknowledged."""

import asyncio
import platform
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Any

import structlog

from pipelines.document import Pipeline
from pipelines.engine import Execution as PipelineExecution
from pipelines.engine import Surroundings
from pipelines.engine.ports import Failed, GivenUp, Parked, StepState
from pipelines.errors import ErrorClass, PipelineError
from pipelines.tools.own_task import ABANDONED_AFTER
from workers import conf
from workers import tally as counted
from workers.briefing import Brief
from workers.claimed import ClaimedRun
from workers.doing import Doing, open_step
from workers.encoding import Unstorable
from workers.equipment import Equipment, TrackedInvoker
from workers.journal import JournalRefused, LeaseLost, RunJournal
from workers.journal_rows import SettlementRow, settlement_row
from workers.points import reach
from workers.rehearsal import Rehearsal
from workers.revisions import ToolsMissing
from workers.run_context import context_of
from workers.settlement import (
    CANCELED,
    Canceled,
    Ending,
    HandedBack,
    Settlement,
    refused,
    settle,
    timed_out,
    tools_missing,
    without_delay,
)
from workers.telling import tell

logger = structlog.get_logger(__name__)

_SWALLOWED_AFTER = ABANDONED_AFTER + 1.0  # seconds: a run that goes on after its cancellation is canceled again
_FOR_EVER = timedelta(days=100_000)  # longer than any policy tries
MOST_STEPS_AT_ONCE = 20  # of a run that is carried out between two looks at the loop


class Stop(Enum):
    """Why a run is cut off: somebody canceled it, the process drains, or its lease is gone."""

    CANCEL = auto()
    DRAIN = auto()
    LOST = auto()


Finished = Callable[["Execution", BaseException | None], None]


class Execution:
    """A run while it holds a slot. `run()` once; `stop()` from outside at any time."""

    def __init__(self, brief: Brief, equipment: Equipment) -> None:
        self.brief = brief
        self._equipment = equipment
        self._journal = RunJournal(
            equipment.writer,
            run_id=brief.run.run_id,
            epoch=brief.run.lease_epoch,
            tally=equipment.tally,
            # Also where another took up the parked run and was lost, or handed it back: then it is queued.
            wakes=bool(brief.run.was_waiting or brief.history),
        )
        self._invoke = TrackedInvoker(brief.run, equipment, self._journal)
        self.task: asyncio.Task[None] | None = None
        self._stop: Stop | None = None
        self._stopped_at = 0.0
        self._is_out_of_time = False
        self._going: PipelineExecution | Rehearsal | None = None  # one that runs something last
        self._has_begun = False
        self._is_at_its_end = False
        self._deadline_at = self._deadline()
        self.is_settling = False

    @property
    def claimed(self) -> ClaimedRun:
        return self.brief.run

    def doing(self) -> Doing:
        """What this slot is at, for people."""
        run_id = self.claimed.run_id
        step, since = open_step(self._journal.calls)
        waits = step is not None and self._equipment.isolation.is_waiting(str(run_id), step)
        return Doing(run_id, step, since, waits, bool(self.claimed.simulated))

    def start(self, finished: Finished) -> None:
        """Run: at once where the run only computes, else in a task of its own. `finished` is called when it is over,
        with what went wrong that should not have."""
        at_once = self._settlement_at_once()
        if at_once is None:
            self._go_on_in_a_task(self.run(), finished)
            return
        settlement, row = at_once
        self.is_settling = True

        def acknowledged(error: Exception | None) -> None:
            if error is None:
                self._tell(settlement)
            elif isinstance(error, JournalRefused):
                # As in `_settle`, in a task, because it has to wait.
                self._journal.drop()
                self._go_on_in_a_task(self._settle_refused(error), finished)
                return
            finished(self, None)

        reach("before-settle")
        self._journal.settle_soon(row, acknowledged)

    def _go_on_in_a_task(self, going: Coroutine[Any, Any, None], finished: Finished) -> None:
        self.task = asyncio.create_task(going, name=f"run {self.claimed.run_id}")
        self.task.add_done_callback(lambda task: finished(self, None if task.cancelled() else task.exception()))

    def _settlement_at_once(self) -> tuple[Settlement, SettlementRow] | None:
        """What becomes of a run that only computes, and the journal's words for it, without a task and a timer, which
        are a third of the Python of a short run. None where it is another kind of run, or would have to wait after
        all: its steps are computed again then, which those of no effect may be.
        """
        run, brief, clock = self.claimed, self.brief, self._equipment.clock
        pipeline = brief.pipeline
        if not isinstance(pipeline, Pipeline) or brief.history or run.is_cancel_requested or self._stop is not None:
            return None
        if pipeline.step_count > MOST_STEPS_AT_ONCE or not pipeline.is_pure:
            return None
        if self._deadline_at is not None and self._deadline_at <= clock.now():
            return None
        going = self._execution_of(pipeline).run()
        try:
            going.send(None)
        except StopIteration as end:
            try:
                settlement = self._settlement(end.value)
                return settlement, settlement_row(settlement)
            except Unstorable:
                logger.debug("run.not_at_once", run=brief.run_text)
        except Exception:  # noqa: BLE001 - said by the task that tries again
            logger.debug("run.not_at_once", run=brief.run_text)
        else:
            going.close()
        self._journal.drop()
        return None

    def stop(self, reason: Stop) -> None:
        """Cut the run off; called again and again, once more where a tool has swallowed that. Only a lost lease
        interrupts a settlement that is on its way."""
        if self.task is None or self.task.done() or (self.is_settling and reason is not Stop.LOST):
            return
        now = time.monotonic()
        if self._stop is not None and reason is not Stop.LOST:
            if reason is not self._stop or now - self._stopped_at < _SWALLOWED_AFTER:
                return
            if self._going is None:
                logger.warning("run.cancellation_swallowed", run=self.brief.run_text)
        is_first = self._stop is None
        self._stop, self._stopped_at = reason, now
        if reason is Stop.CANCEL and self._going is not None:
            self._going.give_up(CANCELED)
            if is_first:
                self._cut_off_after_grace()
            return
        if self._going is not None:
            self._going.cut_off()
        if self._has_begun:  # a task that is canceled before its first step would end without a settlement
            self.task.cancel()

    async def run(self) -> None:
        """Run to the acknowledged settlement, or to the loss of the lease, which is silent."""
        self._has_begun = True
        # The context is this asyncio task's own, so that nothing has to be unbound.
        structlog.contextvars.bind_contextvars(run=self.brief.run_text, task=self.brief.task_text)
        try:
            ending = await self._ending()
            self.is_settling = True
            reach("before-settle")
            await self._settle(ending)
        except LeaseLost:
            logger.debug("run.lease_lost")
        except asyncio.CancelledError:
            if self._stop is not Stop.LOST:
                raise

    async def _ending(self) -> Ending:
        """How the run ends here. Raises LeaseLost, and CancelledError where that is not of our own making."""
        match self._stop:
            case Stop.LOST:
                raise LeaseLost
            case Stop.DRAIN:
                return HandedBack()
        if self._stop is Stop.CANCEL or self.claimed.is_cancel_requested:
            self._stop = Stop.CANCEL
            pipeline = self.brief.pipeline
            # What was begun elsewhere may have something to run last.
            has_begun = isinstance(pipeline, Pipeline) and pipeline.runs_last and bool(self.brief.history)
            return await self._guarded(pipeline) if has_begun and isinstance(pipeline, Pipeline) else Canceled()
        match self.brief.pipeline:
            case PipelineError() as error:
                return Failed(error)
            case ToolsMissing(detail=detail):
                logger.warning("run.tools_missing", detail=detail, hint="Handed back; another host may have them.")
                return tools_missing(platform.node(), detail)
            case pipeline:
                return await self._guarded(pipeline)

    async def _guarded(self, pipeline: Pipeline) -> Ending:
        """Every way in which the engine may end, as a value."""
        try:
            return await self._run_engine(pipeline)
        except JournalRefused as error:
            self._journal.drop()
            return Failed(PipelineError("journal_refused", ErrorClass.INTERNAL, str(error)))
        except PipelineError as error:
            return Failed(error)
        except asyncio.CancelledError:
            return await self._cut_off()
        except LeaseLost:
            raise
        except Exception as error:
            logger.exception("run.engine_failed")
            self._equipment.faults.note(f"the engine failed in run {self.brief.run_text}", error)
            return Failed(PipelineError("internal_error", ErrorClass.INTERNAL, f"{type(error).__name__}: {error}"))

    async def _run_engine(self, pipeline: Pipeline) -> Ending:
        seconds_left = self._seconds_left()
        if seconds_left == 0:
            return timed_out()
        if pipeline.runs_last:
            return await self._run_engine_to_its_last(pipeline, seconds_left)
        timer = asyncio.timeout(seconds_left)
        try:
            async with timer:
                outcome = await self._execution_of(pipeline).run()
        except TimeoutError:
            if not timer.expired():
                raise
            await self._close_calls(StepState.INTERRUPTED)
            return timed_out()
        # A tool may have swallowed the cancellation: what was asked for holds, however well it ended after that.
        if timer.expired():
            return timed_out()
        return Canceled() if self._stop is Stop.CANCEL or isinstance(outcome, GivenUp) else outcome

    async def _run_engine_to_its_last(self, pipeline: Pipeline, seconds_left: float | None) -> Ending:
        """The same for one that runs something last, whatever happens: a cancellation and the end of its time give it
        up, and it has the grace for the rest."""
        task = asyncio.current_task()
        assert task is not None
        going = self._execution_of(pipeline)
        if self._stop is Stop.CANCEL:
            going.give_up(CANCELED)
            self._cut_off_after_grace()
        going.carried_out_by(task)
        self._going = going
        loop = asyncio.get_running_loop()
        timer = None if seconds_left is None else loop.call_later(seconds_left, self._time_is_over)
        try:
            outcome = await going.run()
        finally:
            self._going = None
            if timer is not None:
                timer.cancel()
        if isinstance(outcome, Parked):
            return outcome
        if self._is_out_of_time:
            return timed_out()
        return Canceled() if self._stop is Stop.CANCEL or isinstance(outcome, GivenUp) else outcome

    def _time_is_over(self) -> None:
        if self._going is not None and self._stop is None:
            self._is_out_of_time = True
            self._going.give_up(timed_out().error)
            self._cut_off_after_grace()

    def _cut_off_after_grace(self) -> None:
        """What runs last has so long, and no longer."""

        def cut_off() -> None:
            if self._going is not None and self.task is not None:
                self._going.cut_off()
                self.task.cancel()

        asyncio.get_running_loop().call_later(conf.grace().total_seconds(), cut_off)

    def _execution_of(self, pipeline: Pipeline) -> PipelineExecution | Rehearsal:
        surroundings = Surroundings(
            context=context_of(self.brief, reads=pipeline.reads),
            journal=self._journal,
            invoke=self._invoke,
            clock=self._equipment.clock,
            retries=self._retries,
            answers=self.brief.answers,
            secrets=self._equipment.secrets.of_agent(self.claimed.agent_id),
        )
        carries_out = Rehearsal if self.claimed.simulated else PipelineExecution
        return carries_out(pipeline, surroundings, self.brief.history, self._equipment.rng)

    def _retries(self, error: PipelineError) -> bool:
        """Asked before what runs in a run's end; the settlement keeps to the answer, however long that took."""
        is_retried = self._settlement(Failed(error)).name == "retried"
        self._is_at_its_end = not is_retried
        return is_retried

    def _seconds_left(self) -> float | None:
        if self._deadline_at is None:
            return None
        return max(0.0, (self._deadline_at - self._equipment.clock.now()).total_seconds())

    def _deadline(self) -> datetime | None:
        """The claim's deadline, counted from here: the time for which a run waited for its slot is not the run's.
        One that was parked keeps its own."""
        run = self.claimed
        if run.deadline_at is None or run.was_waiting:
            return run.deadline_at
        return run.deadline_at + max(timedelta(0), self._equipment.clock.now() - run.read_at)

    async def _cut_off(self) -> Ending:
        """What a cancellation means. That of a lost lease passes; one that nobody here has asked for is the doing of a
        tool, which has found the run's task behind its own: the run has failed by it, and must not keep its lease."""
        task = asyncio.current_task()
        if task is None or self._stop is Stop.LOST:
            raise asyncio.CancelledError
        while task.cancelling():
            task.uncancel()
        self.is_settling = True
        if self._stop is None and not self._is_out_of_time:
            await self._close_calls(StepState.INTERRUPTED)
            detail = "a tool has canceled the task of the run that called it"
            return Failed(PipelineError("canceled_by_tool", ErrorClass.PERMANENT, detail))
        if self._stop is Stop.CANCEL:
            await self._close_calls(StepState.CANCELED)
            return Canceled()
        await self._close_calls(StepState.INTERRUPTED)
        return timed_out() if self._is_out_of_time else HandedBack()

    async def _close_calls(self, state: StepState) -> None:
        """Say in the journal what became of the calls that were cut off.

        A call whose tool wants to be asked about a doubtful end keeps its intent: the engine decides when it goes on.
        """
        now = self._equipment.clock.now()
        for place, entry in list(self._journal.calls.items()):
            if state is StepState.CANCELED or place not in self._invoke.in_doubt:
                await self._journal.record(replace(entry, state=state, finished_at=now), barrier=False)

    async def _settle(self, ending: Ending) -> None:
        settlement = self._settlement(ending)
        try:
            await self._journal.settle(settlement)
        except (JournalRefused, Unstorable) as error:
            self._journal.drop()
            await self._settle_refused(error)
            return
        self._tell(settlement)

    async def _settle_refused(self, error: Exception) -> None:
        settlement = refused(self.claimed.attempt, error)
        try:
            await self._journal.settle(settlement)
        except LeaseLost:
            logger.debug("run.lease_lost")
        else:
            self._tell(settlement)

    def _settlement(self, ending: Ending) -> Settlement:
        run, clock = self.claimed, self._equipment.clock
        settlement = settle(
            ending,
            attempt=run.attempt,
            retry=self.brief.task.retry,
            elapsed=_FOR_EVER if self._is_at_its_end else clock.now() - run.trying_since,
            deadline_at=self._deadline_at,
            rng=self._equipment.rng,
        )
        return without_delay(settlement) if run.simulated else settlement

    def _tell(self, settlement: Settlement) -> None:
        run = self.claimed
        prefix = counted.SETTLED_SIMULATED if run.simulated else counted.SETTLED
        self._equipment.tally[prefix + settlement.name] += 1
        if run.is_exclusive or run.concurrency_key is not None:
            self._equipment.gates.release(task_id=run.task_id if run.is_exclusive else None, key=run.concurrency_key)
        if settlement.name != "succeeded" or conf.logs_every_run():
            with structlog.contextvars.bound_contextvars(run=self.brief.run_text, task=self.brief.task_text):
                tell(settlement, run)
