"""Public identifiers."""

import uuid

from uuid_utils.compat import uuid7


def new_id() -> uuid.UUID:
    """A fresh UUIDv7: it sorts by the time of its making, so that rows land at the end of their index."""
    return uuid7()
