"""A backfill as the API shows it."""

from datetime import datetime

from rest_framework import serializers

from scheduling.api.shapes import Shape
from scheduling.backfills.models import Backfill, BackfillOverlap, BackfillState
from scheduling.backfills.operations import BackfillPreview
from scheduling.backfills.selectors import allowed_actions, live_runs, waits_for
from scheduling.core.recurrence.zones import get_zone
from scheduling.definitions.fields import Instant
from scheduling.schedules.shapes import OccurrenceShape


class BackfillShape(Shape):
    """The occurrences of a past range of a schedule, run after all, and how far that has come."""

    id = serializers.UUIDField()
    schedule = serializers.UUIDField(source="schedule_id")
    task = serializers.UUIDField(source="schedule.task_id")
    start = Instant(source="start_at")
    end = Instant(source="end_at", help_text="Both ends belong to the range.")
    overlap = serializers.ChoiceField(choices=BackfillOverlap.values)
    max_active = serializers.IntegerField()
    only_missing = serializers.BooleanField()
    state = serializers.ChoiceField(choices=BackfillState.values)
    state_reason = serializers.CharField(allow_blank=True)
    waits_for = serializers.SerializerMethodField(help_text="`task_paused` while its task is; else empty.")
    total_count = serializers.IntegerField(help_text="Occurrences in the range.")
    started_count = serializers.IntegerField()
    skipped_count = serializers.IntegerField(help_text="Ran before, or skipped by a policy.")
    remaining_count = serializers.SerializerMethodField(help_text="Neither started nor skipped yet.")
    live_count = serializers.SerializerMethodField(help_text="Its runs that have not ended.")
    cursor = Instant(source="cursor_at", help_text="Every occurrence before it has been dealt with.")
    runs = serializers.SerializerMethodField(help_text="Where its runs are listed.")
    created_by = serializers.CharField(allow_blank=True)
    created_at = Instant()
    finished_at = Instant(allow_null=True)
    allowed_actions = serializers.SerializerMethodField()

    def get_waits_for(self, backfill: Backfill) -> str:
        return waits_for(backfill)

    def get_remaining_count(self, backfill: Backfill) -> int:
        return max(backfill.total_count - backfill.started_count - backfill.skipped_count, 0)

    def get_live_count(self, backfill: Backfill) -> int:
        counted: int | None = getattr(backfill, "live_count", None)
        return live_runs(backfill).count() if counted is None else counted

    def get_runs(self, backfill: Backfill) -> str:
        return f"/api/v1/runs?backfill={backfill.pk}"

    def get_allowed_actions(self, backfill: Backfill) -> list[str]:
        return list(allowed_actions(backfill))


class BackfillPreviewShape(Shape):
    """What a backfill of a range would do."""

    start = Instant(source="start_at", help_text="As it was understood.")
    end = Instant(source="end_at")
    occurrence_count = serializers.IntegerField()
    ran_count = serializers.IntegerField(help_text="Of these, how many ran before, live or in another backfill.")
    start_count = serializers.IntegerField(help_text="How many runs the backfill would start.")
    first = OccurrenceShape(allow_null=True)
    last = OccurrenceShape(allow_null=True)


def preview_document(found: BackfillPreview, *, timezone: str) -> object:
    """The preview with its first and last occurrence in the schedule's zone and in UTC."""
    ends = {"first": _shown(found.first_at, timezone), "last": _shown(found.last_at, timezone)}
    names = ("start_at", "end_at", "occurrence_count", "ran_count", "start_count")
    return BackfillPreviewShape({**{name: getattr(found, name) for name in names}, **ends}).data


def _shown(instant: datetime | None, timezone: str) -> dict[str, str] | None:
    if instant is None:
        return None
    return {
        "local": instant.astimezone(get_zone(timezone).info).isoformat(),
        "utc": instant.isoformat().replace("+00:00", "Z"),
    }
