"""Public identifiers."""

import uuid
from datetime import datetime

from uuid_utils.compat import uuid7


def new_id() -> uuid.UUID:
    """A fresh UUIDv7: it sorts by the time of its making, so that rows land at the end of their index."""
    return uuid7()


def first_id_at(instant: datetime) -> uuid.UUID:
    """The least UUIDv7 that can be made at `instant` (to the millisecond): a bound for reading by time of making.

    Before 1970, when none was made, the least of all.
    """
    milliseconds = max(0, int(instant.timestamp() * 1000))
    return uuid.UUID(int=(milliseconds << 80) | (7 << 76) | (2 << 62))
