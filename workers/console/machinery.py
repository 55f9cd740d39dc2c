"""What workers write: steps, waits, large results and the turns of retention. All read-only."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from scheduling.console.badges import badge, simulated_badge
from scheduling.console.code import text_block
from scheduling.console.listing import ReadOnlyAdmin, exact_time, object_url
from scheduling.console.words import NOTHING, duration, since, size
from scheduling.fields import JSONBytesField
from scheduling.runs.models import Run
from scheduling.runs.selectors import with_simulated
from workers.models import Artifact, Retention, StepRun, Wait
from workers.retention.kinds import KINDS
from workers.retention.oldest import oldest_of

_SHOWN_BYTES = 64_000


def _run_link(run_id: Any) -> SafeString:
    return format_html('<a href="{}">{}</a>', object_url(Run, run_id), run_id)


@admin.register(StepRun)
class StepRunAdmin(ReadOnlyAdmin):
    list_display = ("path_shown", "state_shown", "uses", "attempt", "run_link", "started", "took")
    list_filter = ("state", "is_simulated")
    linked_by = ("run_id",)
    search_fields = ("run_id__exact",)
    search_help_text = "The id of a run."
    ordering = ("-id",)
    started = exact_time("started_at", "started")

    def get_queryset(self, request: HttpRequest) -> QuerySet[StepRun]:
        rows = super().get_queryset(request)
        large = [field.name for field in StepRun._meta.fields if isinstance(field, JSONBytesField)]
        return rows if request.resolver_match.kwargs else rows.defer(*large)  # type: ignore[no-any-return, union-attr]

    @admin.display(description="path")
    def path_shown(self, step: StepRun) -> str:
        return step.shown_path

    @admin.display(description="state")
    def state_shown(self, step: StepRun) -> SafeString:
        return format_html("{} {}", badge(step.state), simulated_badge() if step.is_simulated else "")

    @admin.display(description="run")
    def run_link(self, step: StepRun) -> SafeString:
        return _run_link(step.run_id)

    @admin.display(description="duration")
    def took(self, step: StepRun) -> str:
        return duration(step.finished_at - step.started_at) if step.finished_at and step.started_at else NOTHING


@admin.register(Wait)
class WaitAdmin(ReadOnlyAdmin):
    list_display = ("path_shown", "kind", "run_link", "wakes", "since")
    list_filter = ("kind",)
    ordering = ("wake_at", "id")
    wakes = exact_time("wake_at", "wakes")
    since = exact_time("created_at", "since")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Wait]:
        return with_simulated(super().get_queryset(request))

    @admin.display(description="path", ordering="path")
    def path_shown(self, wait: Wait) -> str:
        return wait.shown_path

    @admin.display(description="run")
    def run_link(self, wait: Wait) -> SafeString:
        mark = simulated_badge() if wait.simulated else ""  # type: ignore[attr-defined]
        return format_html("{} {}", _run_link(wait.run_id), mark)


@admin.register(Artifact)
class ArtifactAdmin(ReadOnlyAdmin):
    list_display = ("digest", "size_shown", "created")
    search_fields = ("digest__exact",)
    ordering = ("-created_at", "digest")
    created = exact_time("created_at", "created")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Artifact]:
        return super().get_queryset(request).defer("content")  # type: ignore[no-any-return]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        return ["digest", "size_shown", "created", "content_shown"]

    @admin.display(description="size", ordering="size")
    def size_shown(self, artifact: Artifact) -> str:
        return size(artifact.size)

    @admin.display(description="content")
    def content_shown(self, artifact: Artifact) -> SafeString:
        """The beginning, as text: the whole may have sixteen megabytes."""
        return text_block(bytes(artifact.content)[:_SHOWN_BYTES].decode(errors="replace"))


@admin.register(Retention)
class RetentionAdmin(ReadOnlyAdmin):
    """What is deleted by age: how long each kind is kept, the oldest that is there, and the last turn."""

    list_display = ("kind", "kept_for", "oldest", "turn", "turn_deleted", "took", "turn_host", "deleted_count")
    ordering = ("kind",)
    turn = exact_time("turn_at", "last turn")

    @admin.display(description="kept for")
    def kept_for(self, row: Retention) -> str:
        kind = KINDS.get(row.kind)
        if kind is None or kind.keep is None:
            return NOTHING
        return "ever" if kind.is_kept_for_ever else duration(kind.keep())

    @admin.display(description="oldest")
    def oldest(self, row: Retention) -> str:
        at = oldest_of(row.kind)
        return NOTHING if at is None else since(at, now=timezone.now())

    @admin.display(description="turn took (s)")
    def took(self, row: Retention) -> str:
        return f"{row.turn_seconds:.2f}"
