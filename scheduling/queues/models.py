"""Queues that are operated, and the buckets of their rates and of the rates of concurrency keys."""

from datetime import datetime, timedelta
from typing import Any, ClassVar

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

LEAST_WEIGHT = 1
GREATEST_WEIGHT = 10


def rate_is_whole() -> Q:
    """The condition that a rate has both its limit and its period, or neither."""
    # A check that comes out as NULL is passed, so that what must be there has to be asked for.
    is_there = Q(rate_limit__isnull=False, rate_period__isnull=False)
    return Q(rate_limit=None, rate_period=None) | (is_there & Q(rate_limit__gt=0, rate_period__gt=timedelta(0)))


class Queue(models.Model):
    """How one queue is operated. A queue without a row is not paused, not limited, not fair, and weighs 1."""

    name = models.SlugField(primary_key=True, max_length=60)
    paused_at = models.DateTimeField(null=True, blank=True)
    paused_until = models.DateTimeField(null=True, blank=True, help_text="Resumes by itself.")
    pause_reason = models.CharField(max_length=500, blank=True, default="", db_default="")
    rate_limit = models.PositiveIntegerField(null=True, blank=True, help_text="Runs started in each period.")
    rate_period = models.DurationField(null=True, blank=True)
    rate_burst = models.PositiveIntegerField(null=True, blank=True, help_text="At once; without it, the limit.")
    is_fair = models.BooleanField(default=False, db_default=False, help_text="Its agents take turns.")
    weight = models.PositiveSmallIntegerField(default=LEAST_WEIGHT, db_default=LEAST_WEIGHT)
    updated_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints: ClassVar[list[Any]] = [
            models.CheckConstraint(condition=rate_is_whole(), name="queue_rate_is_whole"),
            models.CheckConstraint(
                condition=Q(rate_burst=None) | Q(rate_limit__isnull=False, rate_burst__gt=0),
                name="queue_burst_of_a_rate",
            ),
            models.CheckConstraint(
                condition=Q(weight__range=(LEAST_WEIGHT, GREATEST_WEIGHT)), name="queue_weight_in_range"
            ),
            models.CheckConstraint(
                condition=Q(paused_at__isnull=False) | Q(paused_until=None, pause_reason=""),
                name="queue_paused_has_an_instant",
            ),
            models.CheckConstraint(
                condition=Q(paused_until=None) | Q(paused_until__gt=F("paused_at")), name="queue_pause_ends_after_start"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def is_paused(self, now: datetime) -> bool:
        """Whether its runs are held back at `now`: a pause with an end is over by itself."""
        return self.paused_at is not None and (self.paused_until is None or self.paused_until > now)

    @property
    def is_stored(self) -> bool:
        """False where nobody has operated it, and these are the defaults."""
        return not self._state.adding

    @property
    def burst(self) -> int | None:
        """How many tokens its bucket holds; None without a rate."""
        return self.rate_limit if self.rate_burst is None else self.rate_burst


class RateBucket(models.Model):
    """The tokens of one rate, as they were at `refilled_at`; what has come since is reckoned when they are taken.

    The key is `queue:<name>` or `key:<concurrency key>`.
    """

    key = models.CharField(primary_key=True, max_length=310)
    tokens = models.FloatField()
    refilled_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.key
