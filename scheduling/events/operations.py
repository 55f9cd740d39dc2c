"""Publish events."""

import re
from collections.abc import Mapping
from typing import Any

from django.db import transaction

from scheduling.audit.models import ActorKind
from scheduling.audit.operations import Actor, record
from scheduling.definitions.fields import JSONObject, Text
from scheduling.definitions.strict import StrictSerializer, parse, refusal
from scheduling.events.models import Event, Outbox

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


@transaction.atomic
def publish(*, actor: Actor, topic: str, payload: Mapping[str, Any] | None = None) -> Event:
    """Store an event and its way out to Redis, in one transaction: both or neither. NotValid for a malformed topic."""
    values = parse(EventDefinition, {"topic": topic, "payload": {} if payload is None else payload})
    agent_id = actor.id if actor.kind == ActorKind.AGENT else None
    event = Event.objects.create(topic=values["topic"], payload=values["payload"], agent_id=agent_id)
    Outbox.objects.create(event=event)
    record(actor=actor, action="event.publish", target=event, after={"topic": event.topic})
    return event
