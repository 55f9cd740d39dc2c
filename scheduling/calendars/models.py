"""Exclusion calendars: named days on which schedules do not fire."""

from typing import Any, ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now

from scheduling.agents.models import Agent
from scheduling.ids import new_id


class Calendar(models.Model):
    """Days, and spans of time, that schedules leave out: given as a list of dates or as an iCalendar text.

    `days` are local dates of whichever schedule names the calendar. What an iCalendar text says in all-day events is
    in `days`, its timed events are spans of instants in `spans_from` and `spans_to`, side by side; recurring ones are
    expanded up to `expanded_until` and expanded on by housekeeping.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    agent = models.ForeignKey(Agent, on_delete=models.PROTECT, related_name="calendars")
    key = models.SlugField(max_length=120, help_text="Unique for its agent; what schedules name it by.")
    title = models.CharField(max_length=200, blank=True)
    dates = ArrayField(models.DateField(), default=list, blank=True, help_text="Given as a list.")
    ics = models.TextField(blank=True, help_text="Given as iCalendar text.")
    days = ArrayField(models.DateField(), default=list, blank=True, editable=False)
    spans_from = ArrayField(models.DateTimeField(), default=list, blank=True, editable=False)
    spans_to = ArrayField(models.DateTimeField(), default=list, blank=True, editable=False)
    expanded_until = models.DateTimeField(null=True, editable=False)
    version = models.PositiveIntegerField(default=1, editable=False, help_text="Raised by every change; the ETag.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints: ClassVar[list[Any]] = [
            models.UniqueConstraint(fields=["agent", "key"], name="calendar_key_unique_for_agent"),
        ]

    def __str__(self) -> str:
        return self.key
