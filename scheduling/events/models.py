"""Events that were published or received, and the outbox that carries them to Redis Streams."""

from typing import Any, ClassVar

from django.db import models
from django.db.models.functions import Now

from scheduling.agents.models import Agent
from scheduling.fields import JSONBytesField
from scheduling.ids import new_id


class Event(models.Model):
    """Something that happened, as it was told to us. Never changed."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    topic = models.CharField(max_length=200)
    payload = JSONBytesField(default=dict)
    depth = models.PositiveSmallIntegerField(
        default=0,
        db_default=0,
        help_text="How many runs, each started by an event, stand between this and the outside.",
    )
    simulated = models.BooleanField(default=False, db_default=False, help_text="A simulated run has led to it.")
    caused_by = models.CharField(
        max_length=120,
        blank=True,
        default="",
        db_default="",
        help_text="Whoever did what led to it, as text; empty where a clock did. The runs that it starts are theirs.",
    )
    agent = models.ForeignKey(Agent, null=True, on_delete=models.SET_NULL, related_name="events")
    is_unheard = models.BooleanField(
        default=False, db_default=False, help_text="It is stored, and the runs that it starts have yet to be."
    )
    is_unmatched = models.BooleanField(
        default=False, db_default=False, help_text="The runs that wait for it have yet to be looked for."
    )
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes: ClassVar[list[Any]] = [
            models.Index("topic", "created_at", name="event_topic_idx"),
            models.Index("id", condition=models.Q(is_unmatched=True), name="event_unmatched_idx"),
            models.Index("id", condition=models.Q(is_unheard=True), name="event_unheard_idx"),
        ]

    def __str__(self) -> str:
        return f"{self.topic} {self.id}"


class Outbox(models.Model):
    """An event on its way to Redis. Written with the event, deleted when Redis has it: at least once.

    The relay takes rows with SKIP LOCKED, never by "greater than the last id": ids of late commits would be skipped.
    """

    event = models.OneToOneField(Event, on_delete=models.CASCADE, related_name="outbox")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name_plural = "outbox"

    def __str__(self) -> str:
        return str(self.event_id)
