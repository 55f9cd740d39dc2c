"""What the slots of a process share, and how a run calls tools with it."""

from dataclasses import dataclass, field
from random import Random
from typing import Any

from pipelines.engine.paths import shown_path
from pipelines.engine.ports import Invoker, StepEntry, StepState, ToolCall
from pipelines.tools.base import Catalog, InDoubt, SideEffect
from pipelines.tools.invoke import ToolInvoker
from pipelines.tools.isolation import Isolation
from workers.claimed import ClaimedRun
from workers.clock import DatabaseClock
from workers.faults import Faults
from workers.gates import GateKeeper
from workers.journal import JournalWriter, RunJournal
from workers.points import reach
from workers.secrets import SecretReader
from workers.tally import Tally


@dataclass(frozen=True, slots=True, kw_only=True)
class Equipment:
    """What the slots of a process share."""

    writer: JournalWriter
    catalog: Catalog
    isolation: Isolation
    clock: DatabaseClock
    gates: GateKeeper
    tally: Tally
    secrets: SecretReader
    faults: Faults = field(default_factory=Faults)
    rng: Random = field(default_factory=Random)


class TrackedInvoker:
    """Calls tools for real and notes which calls have begun."""

    def __init__(self, run: ClaimedRun, equipment: Equipment, journal: RunJournal) -> None:
        self._run = run
        self._equipment = equipment
        self._journal = journal
        self._invoke: Invoker | None = None
        self.in_doubt: set[tuple[str, int]] = set()

    async def __call__(self, call: ToolCall) -> Any:
        place = (call.path, call.attempt)
        self._journal.calls[place] = StepEntry(
            path=call.path,
            kind="tool",
            state=StepState.STARTED,
            attempt=call.attempt,
            run_attempt=self._run.attempt,
            uses=call.spec.name,
            input=call.told,
            started_at=self._equipment.clock.now(),
        )
        if call.spec.side_effect is SideEffect.EFFECT and call.spec.in_doubt is not InDoubt.RETRY:
            self.in_doubt.add(place)
        if self._invoke is None:
            self._invoke = self._invoker()
        reach("before-call")
        result = await self._invoke(call)
        reach("after-call")
        return result

    def _invoker(self) -> Invoker:
        return ToolInvoker(
            self._equipment.catalog,
            self._equipment.isolation,
            run_id=str(self._run.run_id),
            task_id=str(self._run.task_id),
            agent_id=str(self._run.agent_id),
            lease_epoch=self._run.lease_epoch,
            now=self._run.started_at,
            simulated=bool(self._run.simulated),
            on_abandoned=self._note_abandoned,
        )

    def _note_abandoned(self, call: ToolCall) -> None:
        where = f"step {shown_path(call.path)} of run {self._run.run_id}"
        self._equipment.faults.note(f"the tool {call.spec.name} went on after it was canceled", where)
