"""Who listens for what the clock has told."""

from collections.abc import Sequence

import structlog

from scheduling.clock import session
from scheduling.clock.faults import fault_of
from scheduling.events.models import Event
from scheduling.triggers.events import start_runs_of

logger = structlog.get_logger(__name__)


def let_hear(events: Sequence[Event]) -> None:
    """Start the runs that wait for these events, each in a transaction of its own."""
    for event in events:
        try:
            with session.bounded():
                start_runs_of(event)
        except Exception as error:
            fault = fault_of(error)
            if fault.is_everywhere:
                raise
            # Who listens may be held up by the same lock; it must not keep the others from hearing.
            logger.exception("schedule.not_heard", topic=event.topic, event_id=str(event.pk), fault=fault)
