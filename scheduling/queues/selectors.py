"""Read queues: how they are operated, what waits in them, and when a bucket has its next token."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from django.db import connection

from scheduling.definitions.strict import did_you_mean
from scheduling.errors import SchedulingError
from scheduling.instants import database_now
from scheduling.queues.models import Queue
from scheduling.tasks.models import DEFAULT_QUEUE, Task

# Purpose: what each queue holds, and how it is operated. Index: none, both tables are small; asked by people and by the
# metrics.
_STATES = """
SELECT COALESCE(depth.queue, operated.name), COALESCE(due, 0), COALESCE(sleeping, 0), COALESCE(gated, 0),
       COALESCE(running, 0), oldest_due_seconds, {columns}
FROM (
    SELECT queue,
           count(*) FILTER (WHERE lease_owner IS NULL AND gate IS NULL AND available_at <= now()) AS due,
           count(*) FILTER (WHERE lease_owner IS NULL AND gate IS NULL AND available_at > now()) AS sleeping,
           count(*) FILTER (WHERE gate IS NOT NULL) AS gated,
           count(*) FILTER (WHERE lease_owner IS NOT NULL) AS running,
           EXTRACT(EPOCH FROM now() - min(available_at) FILTER (
               WHERE lease_owner IS NULL AND gate IS NULL AND available_at <= now()
           ))::float AS oldest_due_seconds
    FROM scheduling_duework
    GROUP BY queue
) AS depth
FULL JOIN scheduling_queue operated ON operated.name = depth.queue
ORDER BY 1
"""
_DEPTH_COLUMNS = 6

# Purpose: the seconds until a bucket holds a whole token. Index: primary keys.
_WAIT = """
SELECT GREATEST(0, (1 - bucket.tokens) * EXTRACT(EPOCH FROM rate.period) / rate."limit"
                   - GREATEST(EXTRACT(EPOCH FROM clock_timestamp() - bucket.refilled_at), 0))::float8
FROM scheduling_ratebucket bucket
JOIN (
    SELECT 'queue:' || name AS key, rate_limit AS "limit", rate_period AS period FROM scheduling_queue
    WHERE 'queue:' || name = %(key)s
    UNION ALL
    SELECT 'key:' || key, rate_limit, rate_period FROM scheduling_concurrencykey WHERE key = %(name)s
) AS rate ON rate.key = bucket.key
WHERE bucket.key = %(key)s AND rate."limit" IS NOT NULL
"""


class UnknownQueue(SchedulingError):
    """No task names this queue, nothing waits in it, and nobody has operated it."""

    code = "not_found"
    status = 404


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """One queue. `due` may be claimed now, `sleeping` later, `gated` not yet, `running` is held by workers.

    `oldest_due_seconds` is how long the oldest claimable row has been waiting, None where none is.
    """

    queue: str
    due: int = 0
    sleeping: int = 0
    gated: int = 0
    running: int = 0
    oldest_due_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class QueueState:
    """A queue with its depth, judged at `at`. `control` is its row, or one with the defaults."""

    depth: QueueDepth
    control: Queue
    at: datetime

    @property
    def is_paused(self) -> bool:
        return self.control.is_paused(self.at)

    @property
    def holds_anything(self) -> bool:
        return any((self.depth.due, self.depth.sleeping, self.depth.gated, self.depth.running))

    @property
    def allowed_actions(self) -> tuple[str, ...]:
        return ("update", "pause", "resume") if self.is_paused else ("update", "pause")


def queue_states(*, now: datetime | None = None) -> list[QueueState]:
    """Every queue that holds something or is operated, by name: one statement. `now` None: the database's."""
    at = now or database_now()
    fields = Queue._meta.concrete_fields
    columns = ", ".join(f"operated.{field.column}" for field in fields)
    with connection.cursor() as cursor:
        cursor.execute(_STATES.format(columns=columns))
        rows = cursor.fetchall()
    names = [field.attname for field in fields]
    states = []
    for row in rows:
        depth, control = QueueDepth(*row[:_DEPTH_COLUMNS]), row[_DEPTH_COLUMNS:]
        is_stored = control[names.index("name")] is not None
        queue = Queue.from_db(connection.alias, names, control) if is_stored else Queue(name=depth.queue)
        states.append(QueueState(depth, queue, at))
    return states


def queue_state(name: str) -> QueueState:
    """The queue of this name as it is now, its depth included; one that nobody has operated has the defaults."""
    found = next((state for state in queue_states() if state.depth.queue == name), None)
    return found or QueueState(QueueDepth(name), Queue(name=name), database_now())


def control_of(name: str) -> Queue:
    """The queue's row, or one with the defaults that is not stored."""
    return Queue.objects.filter(name=name).first() or Queue(name=name)


def bucket_wait(key: str) -> float | None:
    """Seconds until the bucket `queue:<name>` or `key:<concurrency key>` has a token, 0.0 where it has one now; None
    where there is no such rate, or nothing was taken from it yet."""
    with connection.cursor() as cursor:
        cursor.execute(_WAIT, {"key": key, "name": key.removeprefix("key:")})
        row = cursor.fetchone()
    return None if row is None else float(row[0])


def require_known(name: str) -> None:
    """UnknownQueue, with the nearest name, for a word that is no queue of anybody: a pause of it would hold nothing."""
    known = set(_known_names())
    if name not in known:
        raise UnknownQueue(
            f"There is no queue {name[:80]!r}.", hint=did_you_mean(name, known) or "GET /api/v1/queues lists them."
        )


def _known_names() -> Iterator[str]:
    yield DEFAULT_QUEUE
    yield from Task.objects.not_archived().values_list("queue", flat=True).distinct()
    yield from (state.depth.queue for state in queue_states())
