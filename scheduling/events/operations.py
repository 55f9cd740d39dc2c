"""Publish events."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import OperationalError, transaction
from psycopg import errors

from scheduling.audit.models import ActorKind
from scheduling.audit.once import begin_once
from scheduling.audit.operations import Actor, record
from scheduling.definitions.fields import JSONObject, Text
from scheduling.definitions.strict import StrictSerializer, parse, refusal
from scheduling.errors import Conflict, NotValid
from scheduling.events.models import Event, Outbox
from scheduling.events.topics import RESERVED
from scheduling.ids import new_id
from scheduling.runs.lineage import event_depth
from scheduling.runs.models import Run
from scheduling.triggers.events import start_runs_of
from scheduling.wakeup import QUESTIONS_CHANNEL, after_commit

_TOPIC = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", re.ASCII)
_TOPIC_HINT = 'Words of letters, digits, "_" and "-", joined by dots: "order.paid".'


class EventDefinition(StrictSerializer):
    """An event: a topic and what happened."""

    topic = Text(max_length=200, help_text="Words joined by dots: `order.paid`.")
    payload = JSONObject(required=False, default=dict)

    def validate_topic(self, value: str) -> str:
        if _TOPIC.fullmatch(value) is None:
            raise refusal("invalid_topic", "A topic is words joined by dots.", hint=_TOPIC_HINT)
        return value


@dataclass(frozen=True, slots=True)
class Published:
    """An event that was stored, and the runs that it started."""

    event: Event
    run_ids: list[UUID]


class ListenerHeld(Conflict):
    """Somebody holds a task or a schedule that listens to this topic. Nothing was published."""

    code = "listener_held"


def publish(*, actor: Actor, topic: str, payload: Mapping[str, Any] | None = None, depth: int = 0) -> Published:
    """Store an event, its way out to Redis, and the runs that it starts, in one transaction: all or nothing.

    NotValid for a malformed topic, and for a reserved one; ListenerHeld where somebody holds one that listens
    for longer than `triggers.events.WAIT_FOR_LISTENERS`: nothing is stored, and the same may be tried again. `depth` is
    one more than that of the event that started the publishing run.
    """
    try:
        with transaction.atomic():
            return _publish(actor=actor, topic=topic, payload=payload, depth=depth)
    except OperationalError as error:
        if isinstance(error.__cause__, errors.LockNotAvailable):
            raise ListenerHeld(hint="Nothing of it was stored: send it again in a moment.") from error
        raise


def _publish(
    *,
    actor: Actor,
    topic: str,
    payload: Mapping[str, Any] | None,
    depth: int,
    is_backfilled: bool = False,
    caused_by: str = "",
) -> Published:
    values = parse(EventDefinition, {"topic": topic, "payload": {} if payload is None else payload})
    if values["topic"] in RESERVED and actor.kind != ActorKind.SYSTEM:
        raise NotValid.at("/topic", "reserved_topic", "Ordinaut alone publishes on this topic.", "Choose another one.")
    agent_id = actor.id if actor.kind == ActorKind.AGENT else None
    event = store(
        topic=values["topic"],
        payload=values["payload"],
        agent_id=agent_id,
        depth=depth,
        caused_by=caused_by or ("" if actor.kind == ActorKind.SYSTEM else str(actor)),
    )
    run_ids = start_runs_of(event, is_backfilled=is_backfilled)
    record(
        actor=actor,
        action="event.publish",
        target=event,
        after={"topic": event.topic, "runs": [str(run_id) for run_id in run_ids]},
    )
    return Published(event, run_ids)


@dataclass(frozen=True, slots=True)
class PublishedOnce:
    """What a run has published: now, or when it tried before."""

    event_id: UUID
    run_ids: tuple[UUID, ...]


def publish_for_run(*, run_id: str, key: str, topic: str, payload: Mapping[str, Any]) -> PublishedOnce:
    """Publish in the name of a run's agent, once for a key: what was published under it before is told again.

    As `publish`; the event is one deeper than the one that started the run. One transaction.
    """
    try:
        with transaction.atomic():
            return _publish_once(run_id, key, topic, payload)
    except OperationalError as error:
        if isinstance(error.__cause__, errors.LockNotAvailable):
            raise ListenerHeld(hint="Nothing of it was stored: it is tried again.") from error
        raise


def _publish_once(run_id: str, key: str, topic: str, payload: Mapping[str, Any]) -> PublishedOnce:
    run = Run.objects.select_related("agent", "event").get(pk=run_id)
    record, is_first = begin_once(run_id, key)
    if not is_first:
        return PublishedOnce(UUID(record.body["id"]), tuple(map(UUID, record.body["runs"])))
    published = _publish(
        actor=Actor.of_agent(run.agent),
        topic=topic,
        payload=payload,
        depth=1 + event_depth(run),
        is_backfilled=run.is_backfilled,
        caused_by=run.triggered_by,
    )
    record.body = {"id": str(published.event.pk), "runs": [str(each) for each in published.run_ids]}
    record.save(update_fields=["body"])
    return PublishedOnce(published.event.pk, tuple(published.run_ids))


def store(
    *,
    topic: str,
    payload: Mapping[str, Any],
    agent_id: Any,
    depth: int,
    event_id: UUID | None = None,
    is_unheard: bool = False,
    simulated: bool = False,
    caused_by: str = "",
) -> Event:
    """Write an event of a valid topic and its way out. Requires an open transaction; starts nothing. Worker hosts look
    for the runs that wait for it after the commit.

    `event_id` is for what must be told once, and follows from what that is: IntegrityError where it was told before.
    `is_unheard`: the runs that it starts are started by `hear`, in another transaction, which may be tried again.
    `simulated`: a rehearsal has led to it, and no run that acts for real waits for it. `caused_by` has led to it.
    """
    event = Event.objects.create(
        id=event_id or new_id(),
        topic=topic,
        payload=payload,
        agent_id=agent_id,
        depth=depth,
        is_unheard=is_unheard,
        is_unmatched=not simulated,
        simulated=simulated,
        caused_by=caused_by,
    )
    after_commit(QUESTIONS_CHANNEL)
    event.refresh_from_db(fields=["created_at"])
    Outbox.objects.create(event=event)
    return event


def hear(event: Event) -> list[UUID]:
    """Start the runs of an event that was stored unheard, once, and return their ids; none where another has it in
    hand. Requires an open transaction: what keeps it from that leaves the event unheard."""
    unheard = Event.objects.select_for_update(skip_locked=True, of=("self",)).filter(pk=event.pk, is_unheard=True)
    held = unheard.first()
    if held is None:
        return []
    held.is_unheard = False
    held.save(update_fields=["is_unheard"])
    return start_runs_of(held)
