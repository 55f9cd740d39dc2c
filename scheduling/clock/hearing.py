"""Who listens for what the clock has told.

The clock stores what it tells with what it tells of, and starts nothing then: who listens may be held by somebody, and
that must not undo the rest. So an event of the clock is stored unheard, its runs are started at once, in a transaction
of its own, and where that fails or never comes to it, a housekeeping job does it again.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import structlog

from scheduling.clock import session
from scheduling.clock.faults import fault_of
from scheduling.events.models import Event
from scheduling.events.operations import hear

logger = structlog.get_logger(__name__)

_BATCH = 200
_SPEND = 3.0  # seconds of a turn: each that somebody holds up takes a lock's time-out
_FIRST = UUID(int=0)


@dataclass
class _Turns:
    """How far this process has come among those that nobody has heard."""

    last: UUID = _FIRST


_turns = _Turns()


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


def let_hear_again(spend: float = _SPEND) -> int:
    """The same for those that nobody has heard so far, in turns: what cannot be heard keeps no other from its turn.

    Each is a transaction of its own, in which its row is locked and passed over where another clock has it; after
    `spend` seconds the rest is left to the next turn.
    """
    unheard = Event.objects.filter(is_unheard=True).order_by("pk").values_list("pk", flat=True)
    ids = list(unheard.filter(pk__gt=_turns.last)[:_BATCH])
    if not ids:
        _turns.last = _FIRST
        ids = list(unheard[:_BATCH])
    over_at = time.monotonic() + spend
    heard = 0
    for pk in ids:
        _turns.last = pk
        heard += let_hear([Event(pk=pk)])
        if time.monotonic() >= over_at:
            break
    return heard
