"""Claiming: which due runs a process takes.

Where all queues of a process are alike, one statement claims from all of them, by due time and priority. Where one has
a rate, is fair or is heavier than another, a claim is shared between them (`workers.shared_claim`).
"""

import time
from collections.abc import Sequence
from uuid import UUID

from workers.claimed import ClaimedRun
from workers.columns import Texts, Uuids
from workers.connection import Database
from workers.controls import Controls, are_alike
from workers.floors import Floors
from workers.shared_claim import SharedClaim
from workers.statements import CLAIM, CLAIM_SUSPECT, NEXT_DUE, RELEASE_UNKNOWN, SEE_SUSPECT


class Claimer:
    """Takes due runs of some queues for one process.

    `look_in` is how soon a claim may find more although nobody will say so, in seconds: a token of a rate comes. None
    where the usual poll will do.
    """

    def __init__(self, database: Database, *, boot_id: UUID, queues: Sequence[str]) -> None:
        self._database = database
        self._boot_id = boot_id
        self._floors = Floors(queues)
        self._controls = Controls(database, queues)
        self._shared = SharedClaim(database, boot_id=boot_id, floors=self._floors)
        self.look_in: float | None = None

    async def claim(self, *, limit: int, lowest: int | None = None) -> list[ClaimedRun]:
        """Lease at most `limit` runs and return them in the order in which they are to start. Of the lowest priority no
        more than `lowest`, where that is not None.

        Commits, in two parts where the first is full. Raises DatabaseUnavailable; what it claimed may have been
        committed all the same (see `release_unknown`).
        """
        first = limit if lowest is None else min(limit, lowest)
        claimed = await self._claim(limit=first) if first else []
        if len(claimed) == first < limit:
            claimed += await self._claim(limit=limit - first, with_lowest=False)
        return claimed

    async def _claim(self, *, limit: int, with_lowest: bool = True) -> list[ClaimedRun]:
        now = time.monotonic()
        self.look_in = None
        controls = await self._controls.current(now=now)
        if not are_alike(controls):
            claimed = await self._shared.claim(controls, limit=limit, with_lowest=with_lowest, now=now)
            self.look_in = self._shared.look_in
            return claimed
        probes = self._floors.parameters(now=now, with_lowest=with_lowest)
        parameters = {**probes, "limit": limit, "boot_id": self._boot_id, "metered": Texts()}
        rows = await self._database.fetch(CLAIM, parameters)
        claimed = sorted((ClaimedRun(*row) for row in rows), key=lambda run: run.place)
        if claimed:
            self._floors.raise_to(claimed)
        else:
            self._floors.forget()
        return claimed

    async def seconds_to_next_due(self, *, within: float) -> float | None:
        """Until the next run becomes due by itself, which nobody will say; None where none does `within` seconds.
        Raises DatabaseUnavailable."""
        probes = self._floors.parameters(now=time.monotonic())
        parameters = {"queues": probes["queues"], "priorities": probes["priorities"], "horizon": within}
        ((seconds,),) = await self._database.fetch(NEXT_DUE, parameters)
        return None if seconds is None else max(0.0, seconds)

    async def sees_suspect(self) -> bool:
        """Whether there is a suspect to claim, but perhaps for a rate. Raises DatabaseUnavailable."""
        queues = Texts(await self._controls.current(now=time.monotonic()))
        ((is_there,),) = await self._database.fetch(SEE_SUSPECT, {"queues": queues})
        return bool(is_there)

    async def claim_suspect(self) -> ClaimedRun | None:
        """Lease one run whose last worker died; None where there is none. Ask only while holding none."""
        controls = await self._controls.current(now=time.monotonic())
        free = Texts(name for name, control in controls.items() if not control.is_limited)
        rows = await self._database.fetch(CLAIM_SUSPECT, {"queues": free, "boot_id": self._boot_id, "metered": Texts()})
        if rows:
            return ClaimedRun(*rows[0])
        for name, control in controls.items():
            if control.is_limited and (suspect := await self._shared.claim_suspect(name)) is not None:
                return suspect
        return None

    def queues_have_changed(self) -> None:
        """Somebody says that a queue is operated otherwise now."""
        self._controls.forget()

    async def release_unknown(self, held: Sequence[UUID]) -> int:
        """Let go leases of this process other than `held`, and return how many there were. Raises
        DatabaseUnavailable."""
        rows = await self._database.fetch(RELEASE_UNKNOWN, {"run_ids": Uuids(held), "boot_id": self._boot_id})
        return len(rows)
