"""The topics on which the clock itself tells something. Nobody else publishes on them: who reads them believes them."""

from typing import Final

DID_NOT_RUN: Final = "schedule.did_not_run"
OVERDUE: Final = "schedule.overdue"
ZONES_UPDATED: Final = "zones.updated"

RESERVED: Final = frozenset({DID_NOT_RUN, OVERDUE, ZONES_UPDATED})
