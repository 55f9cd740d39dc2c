"""Everything that a round left behind, as one value for the judge."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import psycopg

from tests.chaos.ledger import Line
from tests.chaos.recorder import Change


@dataclass(frozen=True, slots=True)
class Run:
    id: str
    task: str
    agent: str
    schedule: str | None
    event: str | None
    trigger: str
    scheduled_for: datetime | None
    state: str
    cause: str
    skip_reason: str
    attempt: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class Task:
    id: str
    key: str
    agent: str
    state: str
    max_attempts: int


@dataclass(frozen=True, slots=True)
class Step:
    run: str
    path: str
    attempt: int
    run_attempt: int
    uses: str
    state: str
    is_simulated: bool = False


@dataclass(frozen=True, slots=True)
class Work:
    """Due work that is left when the round is quiet."""

    run: str
    task: str
    gate: str | None
    owner: str | None
    available_at: datetime


@dataclass(frozen=True, slots=True)
class Schedule:
    """`starts_at` in UTC: every schedule of a round is."""

    id: str
    task: str
    kind: str
    expression: str
    state: str
    starts_at: datetime
    next_fire_at: datetime | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Miss:
    schedule: str
    first_at: datetime
    last_at: datetime
    count: int


@dataclass(frozen=True, slots=True)
class Event:
    id: str
    topic: str
    about_run: str | None


@dataclass(frozen=True, slots=True)
class Audit:
    request: str
    action: str
    object: str
    actor_kind: str


@dataclass(slots=True, kw_only=True)
class Action:
    """One deed of the load, until it was answered: the same request and key as often as needed. `action`: what the
    audit trail calls it, `actor`: the kind of who did it; `must_change`: an accepted one has to be in it. `status` 0:
    never answered."""

    request: str
    action: str
    actor: str = "agent"
    must_change: bool
    status: int = 0
    reply: Mapping[str, Any] = field(default_factory=dict)
    tries: int = 0

    @property
    def is_accepted(self) -> bool:
        return 200 <= self.status < 300


@dataclass(slots=True, kw_only=True)
class History:
    """`workers`: the pid of each boot id. `limits`: of each concurrency key. `rates`: of each queue
    that has one, the starts a second and at once. `stood_still`: from and until when a pid
    was frozen. `integrity`: what the queries of `tests.invariants` found. `late_marks`: schedules that nobody fired
    although they were due, once all was healed. `surprises`: processes that ended, or would not end, by themselves.
    `outlived`: what tools had left behind and was there when its worker was not. `tidying`: tasks whose pipelines run a
    step `last` at their end."""

    runs: Sequence[Run] = ()
    tasks: Sequence[Task] = ()
    steps: Sequence[Step] = ()
    work: Sequence[Work] = ()
    schedules: Sequence[Schedule] = ()
    misses: Sequence[Miss] = ()
    events: Sequence[Event] = ()
    audits: Sequence[Audit] = ()
    changes: Sequence[Change] = ()
    ledger: Sequence[Line] = ()
    actions: Sequence[Action] = ()
    workers: Mapping[str, int] = field(default_factory=dict)
    limits: Mapping[str, int] = field(default_factory=dict)
    rates: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    stood_still: Sequence[tuple[int, float, float]] = ()
    integrity: Mapping[str, Sequence[object]] = field(default_factory=dict)
    late_marks: Sequence[str] = ()
    surprises: Sequence[str] = ()
    outlived: Sequence[str] = ()
    tidying: frozenset[str] = frozenset()
    followed: str = ""
    follower: str = ""
    listener: str = ""
    topic: str = ""
    abort_after: timedelta = timedelta(seconds=3)
    quarantine_after: int = 3


_TABLES: dict[str, tuple[type, str]] = {
    "runs": (
        Run,
        "SELECT id::text, task_id::text, agent_id::text, schedule_id::text, event_id::text, trigger_kind, "
        "scheduled_for, state, cause, skip_reason, attempt, created_at, started_at, finished_at "
        "FROM scheduling_run ORDER BY id",
    ),
    "tasks": (
        Task,
        "SELECT id::text, key, agent_id::text, state, "
        "CASE WHEN retry = '{}' THEN 1 ELSE COALESCE((retry->>'max_attempts')::int, 3) END FROM scheduling_task",
    ),
    "steps": (
        Step,
        "SELECT run_id::text, path, attempt, run_attempt, uses, state, is_simulated FROM workers_steprun ORDER BY id",
    ),
    "work": (Work, "SELECT run_id::text, task_id::text, gate, lease_owner::text, available_at FROM scheduling_duework"),
    "schedules": (
        Schedule,
        "SELECT id::text, task_id::text, kind, expression, state, starts_at AT TIME ZONE 'UTC', next_fire_at, "
        "created_at FROM scheduling_schedule",
    ),
    "misses": (Miss, "SELECT schedule_id::text, first_at, last_at, count FROM scheduling_miss"),
    "audits": (Audit, "SELECT request_id, action, object_id, actor_kind FROM scheduling_auditentry ORDER BY id"),
    "events": (
        Event,
        "SELECT id::text, topic, convert_from(payload, 'UTF8')::jsonb->>'run' FROM scheduling_event",
    ),
}


def read_tables(url: str) -> dict[str, Any]:
    """The fields of a History that come from the product's tables, at one instant."""
    with psycopg.connect(url) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        found: dict[str, Any] = {
            name: [row_type(*row) for row in connection.execute(query.encode())]
            for name, (row_type, query) in _TABLES.items()
        }
        found["workers"] = dict(connection.execute("SELECT boot_id::text, pid FROM workers_worker").fetchall())
        # Of the tasks: retention deletes the keys that nobody holds any more.
        found["limits"] = dict(
            connection.execute(
                "SELECT agent_id::text || ':' || concurrency_key, max(concurrency_limit) FROM scheduling_task"
                " WHERE concurrency_key <> '' GROUP BY 1"
            ).fetchall()
        )
        rates = connection.execute(
            "SELECT name, rate_limit / EXTRACT(EPOCH FROM rate_period)::float8, "
            "COALESCE(rate_burst, rate_limit)::float8 FROM scheduling_queue WHERE rate_limit IS NOT NULL"
        )
        found["rates"] = {name: (a_second, at_once) for name, a_second, at_once in rates}
        return found
