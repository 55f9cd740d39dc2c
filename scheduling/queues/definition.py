"""How a queue is operated, as it is written, and how what is written becomes columns."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from scheduling.definitions.fields import Duration, Instant, Number, Slug, Text, Truth
from scheduling.definitions.strict import StrictSerializer
from scheduling.queues.models import GREATEST_WEIGHT, LEAST_WEIGHT, Queue

_SECOND = timedelta(seconds=1)
_MOST = 1_000_000


class QueueName(StrictSerializer):
    """The name of a queue, by the rule that holds for the `queue` of a task."""

    name = Slug(max_length=60)


class QueueRate(StrictSerializer):
    """At most `limit` starts in each `period`, over all workers; up to `burst` of them at once."""

    is_whole = True

    limit = Number(min_value=1, max_value=_MOST)
    period = Duration(minimum=_SECOND)
    burst = Number(
        required=False, allow_null=True, default=None, min_value=1, max_value=_MOST, help_text="Null: as the limit."
    )


class QueueChanges(StrictSerializer):
    """What may be changed of a queue; what is left out stays."""

    elsewhere: Mapping[str, str] = {
        "paused": "POST /queues/{name}/pause and /resume do that.",
        "queue": "A queue keeps its name; tasks choose theirs.",
    }

    rate = QueueRate(required=False, allow_null=True, help_text="Null: no limit.")
    fair = Truth(required=False, help_text="Its agents take turns, whoever queued first.")
    weight = Number(
        required=False,
        min_value=LEAST_WEIGHT,
        max_value=GREATEST_WEIGHT,
        help_text="Its share of the workers beside other queues that have work due.",
    )


class QueuePause(StrictSerializer):
    """Why, and until when; without `until` it lasts until it is resumed."""

    reason = Text(required=False, default="", allow_blank=True, max_length=500)
    until = Instant(required=False, allow_null=True, default=None)


def apply(queue: Queue, values: Mapping[str, Any]) -> None:
    """Lay validated values over the columns; those that are missing stay."""
    if "rate" in values:
        rate = values["rate"] or {}
        queue.rate_limit, queue.rate_period, queue.rate_burst = (rate.get(key) for key in ("limit", "period", "burst"))
    if "fair" in values:
        queue.is_fair = values["fair"]
    if "weight" in values:
        queue.weight = values["weight"]
