"""A backfill as it is asked for."""

from scheduling.backfills.models import BackfillOverlap
from scheduling.definitions.fields import Choice, Moment, Number, Text, Truth
from scheduling.definitions.strict import StrictSerializer

MAX_ACTIVE = 100


class BackfillRange(StrictSerializer):
    """Which occurrences: from `start` to `end`, both included. Times without an offset are local to the schedule."""

    start = Moment(help_text="Without an offset: local.")
    end = Moment(help_text="Without an offset: local. Not in the future.")
    only_missing = Truth(
        required=False, default=True, help_text="Leave out occurrences that ran before, live or in another backfill."
    )


class BackfillDefinition(BackfillRange):
    """Which occurrences, and how they are run."""

    overlap = Choice(
        choices=BackfillOverlap.values,
        required=False,
        default=BackfillOverlap.QUEUE_ALL.value,
        help_text="`queue_all`: one at a time, in order. `allow`: beside each other and the task's other runs.",
    )
    max_active = Number(
        required=False,
        default=1,
        min_value=1,
        max_value=MAX_ACTIVE,
        help_text="Its runs that are live at once; 1 for `queue_all`.",
    )


class BackfillCancellation(StrictSerializer):
    """Why it is canceled, and whether its live runs are too."""

    reason = Text(required=False, allow_blank=True, default="", max_length=500)
    cancel_runs = Truth(required=False, default=False, help_text="Cancel its queued and running runs as well.")
