"""A redrive as it is asked for."""

from rest_framework import serializers

from scheduling.definitions.fields import Choice, Instant, Number, Slug, Text, Truth
from scheduling.definitions.strict import StrictSerializer
from scheduling.runs.states import FailureCause

MOST_NAMED = 1000


class RedriveFilter(StrictSerializer):
    """Which failed runs; what is not said does not matter. Empty: all that the caller may change."""

    task = serializers.UUIDField(required=False)
    queue = Slug(max_length=60, required=False, help_text="The queue that its task has now.")
    cause = Choice(choices=FailureCause.values, required=False)
    code = Text(max_length=120, required=False, help_text="The code of its error.")
    simulated = Truth(required=False, help_text="True: only simulated runs; false: none of them.")
    failed_after = Instant(required=False, help_text="From this instant on.")
    failed_before = Instant(required=False, help_text="Before this instant.")
    runs = serializers.ListField(
        child=serializers.UUIDField(), required=False, max_length=MOST_NAMED, help_text="Only these."
    )


class Redrive(StrictSerializer):
    """A preview, or with `dry_run` false the redrive itself."""

    filter = RedriveFilter(required=False, default=dict)
    dry_run = Truth(required=False, default=True, help_text="True: count, and change nothing.")
    expected_count = Number(
        required=False, min_value=0, help_text="The count of the preview; needed where dry_run is false."
    )


class BulkCancellation(StrictSerializer):
    """Why it is canceled."""

    reason = Text(required=False, allow_blank=True, default="", max_length=500)
