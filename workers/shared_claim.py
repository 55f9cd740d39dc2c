"""A claim that is shared between queues, where they are not all alike. One transaction.

Queues without a rate that are not fair and weigh the same are one group: within it the order is that of any claim.
Every other queue is a group of its own. A claim is dealt to the groups that may have due work by their weights, a
group's being the sum of its queues'; what a group cannot use goes to the others.

A queue with a rate takes from its bucket, which is locked first and read by the next statement (see
`scheduling.queues`); what is left is written with the leases, so that tokens and starts are committed together. All
starts of a transaction are dated to its beginning, and so are the tokens: nothing is taken by a transaction that began
before the last one that took.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg

from scheduling.tasks.models import LOWEST_PRIORITY
from workers.claimed import ClaimedRun
from workers.columns import Instants, Smallints, Texts, Uuids
from workers.connection import Database, Row, fetch_within
from workers.controls import QueueControl
from workers.floors import Floors
from workers.points import reach
from workers.sharing import NOBODY, FairHead, Shares, in_turn, last_served, quota_of
from workers.statements import BUCKET, CLAIM, CLAIM_FAIR, CLAIM_SUSPECT, DUE_QUEUES, FAIR_HEADS, LOCK_BUCKET, SPEND

AGENTS_AT_ONCE = 64  # as many as `fair_heads` names
_LOOKS_AROUND = 16  # how often a claim asks for further agents
_SOONEST = 0.02  # seconds until another look

Connection = psycopg.AsyncConnection[Row]


@dataclass(frozen=True, slots=True)
class _Group:
    queues: tuple[str, ...]
    weight: int
    is_limited: bool = False
    is_fair: bool = False


@dataclass(slots=True)
class _Bucket:
    """A bucket that the open transaction holds. `interval`: the seconds from one token to the next."""

    tokens: float
    interval: float
    is_spent: bool = False

    def take(self, count: int) -> None:
        self.tokens -= count
        self.is_spent = self.is_spent or count > 0

    @property
    def next_in(self) -> float:
        return max(_SOONEST, (1.0 - self.tokens) * self.interval)


class SharedClaim:
    """`look_in`, after a claim: the seconds until a rate may let more through, None where none held anything back."""

    def __init__(self, database: Database, *, boot_id: UUID, floors: Floors) -> None:
        self._database = database
        self._boot_id = boot_id
        self._floors = floors
        self._shares = Shares()
        self._served: dict[str, UUID] = {}
        self._buckets: dict[str, _Bucket] = {}
        self._now = 0.0
        self._with_lowest = True
        self.look_in: float | None = None

    async def claim(
        self, controls: Mapping[str, QueueControl], *, limit: int, now: float, with_lowest: bool = True
    ) -> list[ClaimedRun]:
        """Lease at most `limit` runs, of all priorities or of all but the lowest, and return them in the order of their
        starts. Commits, as `Claimer.claim`."""
        self._now, self.look_in, self._buckets, self._with_lowest = now, None, {}, with_lowest
        taken: list[ClaimedRun] = []
        async with self._database.transaction() as connection:
            groups = _groups(controls, await self._due(connection, controls))
            reach("claim-dealt")
            shares = self._shares.deal(limit, _weights(groups)) if groups else {}
            while shares:
                for name, share in shares.items():
                    claimed = await self._claim_group(connection, groups[name], share) if share else []
                    taken += claimed
                    if len(claimed) < share:
                        del groups[name]
                        self._shares.forget(name)
                rest = limit - len(taken)
                shares = self._shares.divide(rest, _weights(groups)) if rest and groups else {}
            await self._spend(connection)
        if not taken:
            self._floors.forget()
        return _in_order_of_start(taken, {name for name, control in controls.items() if control.is_fair})

    async def claim_suspect(self, queue: str) -> ClaimedRun | None:
        """A suspect of a queue with a rate, where there are a suspect and a token for it."""
        self._buckets = {}
        async with self._database.transaction() as connection:
            bucket = await self._bucket(connection, queue)
            if bucket is None or bucket.tokens < 1:
                return None
            parameters = {"queues": Texts([queue]), "boot_id": self._boot_id, "metered": Texts([queue])}
            rows = await fetch_within(connection, CLAIM_SUSPECT, parameters)
            bucket.take(len(rows))
            await self._spend(connection)
        return ClaimedRun(*rows[0]) if rows else None

    async def _due(self, connection: Connection, controls: Mapping[str, QueueControl]) -> set[str]:
        fair = Texts(name for name, control in controls.items() if control.is_fair)
        probes = self._floors.parameters(now=self._now, with_lowest=self._with_lowest)
        rows = await fetch_within(connection, DUE_QUEUES, {**probes, "fair": fair})
        return {queue for (queue,) in rows}

    async def _claim_group(self, connection: Connection, group: _Group, share: int) -> list[ClaimedRun]:
        if not group.is_limited:
            return await self._claim_from(connection, group, share)
        (queue,) = group.queues
        bucket = await self._bucket(connection, queue)
        if bucket is None:
            self._look(_SOONEST)
            return []
        allowed = min(share, int(bucket.tokens))
        claimed = await self._claim_from(connection, group, allowed) if allowed > 0 else []
        bucket.take(len(claimed))
        if len(claimed) == allowed < share:
            self._look(bucket.next_in)
        return claimed

    async def _claim_from(self, connection: Connection, group: _Group, limit: int) -> list[ClaimedRun]:
        """Of a fair queue first what has no agent: rows that were admitted while it became fair."""
        metered = Texts(group.queues if group.is_limited else ())
        parameters = {
            **self._floors.parameters(now=self._now, queues=group.queues, with_lowest=self._with_lowest),
            "limit": limit,
            "boot_id": self._boot_id,
            "metered": metered,
        }
        claimed = [ClaimedRun(*row) for row in await fetch_within(connection, CLAIM, parameters)]
        self._floors.raise_to(claimed)
        if group.is_fair and len(claimed) < limit:
            (queue,) = group.queues
            claimed += await self._claim_fair(connection, queue, limit - len(claimed), metered)
        return claimed

    async def _claim_fair(self, connection: Connection, queue: str, limit: int, metered: Texts) -> list[ClaimedRun]:
        """Round after round over the agents, from the one after the last that was served."""
        taken: list[ClaimedRun] = []
        for _ in range(_LOOKS_AROUND):
            after = self._served.get(queue, NOBODY)
            walked = await fetch_within(connection, FAIR_HEADS, {"queue": queue, "after": after, "metered": metered})
            heads = [FairHead(*row) for row in walked]
            due = [head for head in heads if head.is_due and self._may_take(head)]
            claimed = await self._deal(connection, queue, due, limit - len(taken)) if due else []
            agents = list(dict.fromkeys(head.agent_id for head in heads))
            if claimed:
                taken += claimed
                served = (run.fair_agent_id for run in claimed)
                self._served[queue] = last_served(served, list(dict.fromkeys(head.agent_id for head in due)))
            elif agents:
                self._served[queue] = agents[-1]  # they sleep, or others take of them: go on after them
            if len(taken) == limit or (not claimed and len(agents) < AGENTS_AT_ONCE):
                break
        return taken

    def _may_take(self, head: FairHead) -> bool:
        return self._with_lowest or head.priority != LOWEST_PRIORITY

    async def _deal(self, connection: Connection, queue: str, due: list[FairHead], limit: int) -> list[ClaimedRun]:
        parameters: dict[str, Any] = {
            "queue": queue,
            "agents": Uuids(head.agent_id for head in due),
            "priorities": Smallints(head.priority for head in due),
            "instants": Instants(head.available_at for head in due),
            "quota": quota_of(limit, len({head.agent_id for head in due})),
            "limit": limit,
            "boot_id": self._boot_id,
        }
        return [ClaimedRun(*row) for row in await fetch_within(connection, CLAIM_FAIR, parameters)]

    async def _bucket(self, connection: Connection, queue: str) -> _Bucket | None:
        """The queue's bucket, held until the transaction ends; None while another holds it, or where it is gone."""
        if queue not in self._buckets:
            if not await fetch_within(connection, LOCK_BUCKET, {"queue": queue}):
                return None
            reach("bucket-locked")
            rows = await fetch_within(connection, BUCKET, {"queue": queue})
            if not rows:
                return None
            self._buckets[queue] = _Bucket(*rows[0])
        return self._buckets[queue]

    async def _spend(self, connection: Connection) -> None:
        for queue, bucket in self._buckets.items():
            if bucket.is_spent:
                reach("before-spend")
                await fetch_within(connection, SPEND, {"queue": queue, "tokens": bucket.tokens})

    def _look(self, seconds: float) -> None:
        self.look_in = seconds if self.look_in is None else min(self.look_in, seconds)


def _groups(controls: Mapping[str, QueueControl], due: set[str]) -> dict[str, _Group]:
    """By a name that stays the same from claim to claim."""
    groups: dict[str, _Group] = {}
    alike: dict[int, list[str]] = {}
    for name, control in controls.items():
        if name not in due:
            continue
        if control.is_plain:
            alike.setdefault(control.weight, []).append(name)
        else:
            groups[f"queue {name}"] = _Group((name,), control.weight, control.is_limited, control.is_fair)
    for weight, names in alike.items():
        groups[f"weight {weight}"] = _Group(tuple(names), weight * len(names))
    return groups


def _weights(groups: Mapping[str, _Group]) -> dict[str, int]:
    return {name: group.weight for name, group in groups.items()}


def _in_order_of_start(taken: list[ClaimedRun], fair: set[str]) -> list[ClaimedRun]:
    """By due time and priority; the runs of a fair queue, at the places that they have among the others, in turn."""
    ordered = sorted(taken, key=lambda run: run.place)
    turns = {queue: iter(in_turn((run.fair_agent_id, run) for run in ordered if run.queue == queue)) for queue in fair}
    return [next(turns[run.queue]) if run.queue in fair else run for run in ordered]
