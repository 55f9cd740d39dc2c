"""Who listens for what the clock has told.

The clock stores what it tells with what it tells of, and starts nothing then: who listens may be held by somebody, and
that must not undo the rest. So an event of the clock is stored unheard, its runs are started at once, in a transaction
of its own, and where that fails or never comes to it, a housekeeping job does it again.
"""

from collections.abc import Sequence

import structlog

from scheduling.clock import session
from scheduling.clock.faults import fault_of
from scheduling.events.models import Event
from scheduling.events.operations import hear
from scheduling.housekeeping import alone

logger = structlog.get_logger(__name__)

_BATCH = 200


def let_hear(events: Sequence[Event]) -> int:
    """Start the runs that wait for these events, each in a transaction of its own; return how many were heard."""
    heard = 0
    for event in events:
        try:
            with session.bounded():
                hear(event)
            heard += 1
        except Exception as error:
            fault = fault_of(error)
            if fault.is_everywhere:
                raise
            # Who listens may be held up by the same lock; it must not keep the others from hearing.
            logger.exception("schedule.not_heard", topic=event.topic, event_id=str(event.pk), fault=fault)
    return heard


def let_hear_again() -> int:
    """The same for those that nobody has heard so far, the oldest first."""
    with alone("hearing") as is_alone:
        if not is_alone:
            return 0
        return let_hear(list(Event.objects.filter(is_unheard=True).order_by("pk")[:_BATCH]))
