"""Pause and resume queues, and set their rates, fairness and weight. Each function is one transaction, audited.

Locks: the queue's row, then its bucket, then due work by run id. A change holds from the next claim on; processes that
listen look at once.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import connection, transaction

from scheduling.audit.operations import Actor, record
from scheduling.audit.snapshots import difference, snapshot
from scheduling.definitions.strict import parse
from scheduling.errors import NotValid
from scheduling.instants import database_now
from scheduling.queues.definition import QueueChanges, QueueName, QueuePause, apply
from scheduling.queues.models import Queue
from scheduling.wakeup import QUEUES_CHANNEL, after_commit

_NOT_AUDITED = frozenset({"updated_at"})

# Purpose: a bucket for the queue's rate. A new one is full; of one that is there the tokens are reckoned up by the
# former rate (the caller runs this before it saves the new one) and kept, as far as the new one holds them.
# Index: primary key. Locks: the bucket.
SET_BUCKET = """
INSERT INTO scheduling_ratebucket AS bucket (key, tokens, refilled_at)
VALUES ('queue:' || %(queue)s, %(burst)s, clock_timestamp())
ON CONFLICT (key) DO UPDATE SET
    tokens = LEAST(EXCLUDED.tokens, COALESCE((
        SELECT bucket.tokens + queue.rate_limit
            * GREATEST(EXTRACT(EPOCH FROM EXCLUDED.refilled_at - bucket.refilled_at), 0)
            / EXTRACT(EPOCH FROM queue.rate_period)
        FROM scheduling_queue queue WHERE queue.name = %(queue)s AND queue.rate_limit IS NOT NULL
    ), bucket.tokens)),
    refilled_at = EXCLUDED.refilled_at
"""

DROP_BUCKET = "DELETE FROM scheduling_ratebucket WHERE key = 'queue:' || %(queue)s"

# Purpose: give the rows of a queue that becomes fair their agents. Index: none, one pass over the queue, and rare.
# Locks: the rows it marks, in the order of their ids, as workers do that settle many of them.
NAME_AGENTS = """
WITH held AS (
    SELECT work.run_id, task.agent_id
    FROM scheduling_duework work JOIN scheduling_task task ON task.id = work.task_id
    WHERE work.queue = %(queue)s AND work.agent_id IS NULL
    ORDER BY work.run_id
    FOR NO KEY UPDATE OF work
)
UPDATE scheduling_duework work SET agent_id = held.agent_id FROM held WHERE work.run_id = held.run_id
"""

# Purpose: the opposite, when it is fair no more. Index and locks: as above.
FORGET_AGENTS = """
WITH held AS (
    SELECT work.run_id FROM scheduling_duework work
    WHERE work.queue = %(queue)s AND work.agent_id IS NOT NULL
    ORDER BY work.run_id
    FOR NO KEY UPDATE
)
UPDATE scheduling_duework work SET agent_id = NULL FROM held WHERE work.run_id = held.run_id
"""


@transaction.atomic
def update_queue(*, actor: Actor, name: str, changes: Mapping[str, Any]) -> Queue:
    """Change rate, fairness or weight. NotValid with pointers into the changes. Nothing changed: nothing is written.

    A lowered rate keeps the tokens that the bucket still holds; what workers hold goes on. Fairness holds for what
    waits, too.
    """
    values = parse(QueueChanges, changes)
    held = _lock(name)
    before = snapshot(held, leave_out=_NOT_AUDITED)
    was_fair, former = held.is_fair, (held.rate_limit, held.rate_period, held.burst)
    apply(held, values)
    with connection.cursor() as cursor:
        if (held.rate_limit, held.rate_period, held.burst) != former:
            cursor.execute(DROP_BUCKET if held.burst is None else SET_BUCKET, {"queue": held.name, "burst": held.burst})
        _save(actor=actor, action="queue.update", queue=held, before=before)
        if held.is_fair != was_fair:
            cursor.execute(NAME_AGENTS if held.is_fair else FORGET_AGENTS, {"queue": held.name})
    return held


@transaction.atomic
def pause_queue(*, actor: Actor, name: str, reason: str = "", until: datetime | None = None) -> Queue:
    """Start nothing more of this queue until resumed, or until `until`. What workers hold is finished; what comes in
    waits. Pausing a paused queue changes reason and end."""
    shown_until = None if until is None else until.isoformat()
    values = parse(QueuePause, {"reason": reason, "until": shown_until})
    now = database_now()
    if until is not None and until <= now:
        raise NotValid.at("/until", "in_the_past", "The end of a pause must lie ahead.")
    held = _lock(name)
    before = snapshot(held, leave_out=_NOT_AUDITED)
    if not held.is_paused(now):
        held.paused_at = now
    held.pause_reason, held.paused_until = values["reason"], until
    return _save(actor=actor, action="queue.pause", queue=held, before=before)


@transaction.atomic
def resume_queue(*, actor: Actor, name: str) -> Queue:
    """Let the queue's work be claimed again, from the next claim on. One that is not paused stays as it is."""
    held = _lock(name)
    before = snapshot(held, leave_out=_NOT_AUDITED)
    held.paused_at, held.paused_until, held.pause_reason = None, None, ""
    return _save(actor=actor, action="queue.resume", queue=held, before=before)


def _lock(name: str) -> Queue:
    """The queue's row, held; a new one, not stored yet, has the defaults. NotValid for what can be no queue's name."""
    parse(QueueName, {"name": name})
    with connection.cursor() as cursor:
        # A row that is not there cannot be locked: the first two operations on a queue are told apart by its name.
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('ordinaut queue ' || %s, 0))", [name])
    return Queue.objects.select_for_update().filter(name=name).first() or Queue(name=name)


def _save(*, actor: Actor, action: str, queue: Queue, before: dict[str, Any]) -> Queue:
    old, new = difference(before, snapshot(queue, leave_out=_NOT_AUDITED))
    if not new:
        return queue
    queue.updated_at = database_now()
    queue.save(force_insert=not queue.is_stored)
    record(actor=actor, action=action, target=queue, before=old, after=new)
    after_commit(QUEUES_CHANNEL, queue.name)
    return queue
