"""Backfills in the console: counted and made from their schedule's page, watched and canceled on their own."""

from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.safestring import SafeString

from scheduling.agents.roles import OPERATE_TASK
from scheduling.audit.operations import Actor
from scheduling.backfills import operations
from scheduling.backfills.models import Backfill, BackfillOverlap, BackfillState
from scheduling.backfills.selectors import allowed_actions, live_runs, waits_for
from scheduling.console.badges import Tone, badge
from scheduling.console.deeds import Deed, DeedsAdmin, actor_of, refusal_words
from scheduling.console.listing import ReadOnlyAdmin, change_url, exact_time, list_url
from scheduling.console.words import local_moment
from scheduling.errors import SchedulingError
from scheduling.runs.models import Run
from scheduling.schedules.models import Schedule


def _cancel(actor: Actor, backfill: Backfill) -> SafeString:
    canceled = operations.cancel_backfill(actor=actor, backfill=backfill)
    return format_html(
        'The <a href="{}">{}</a> is canceled: it starts no more. Its runs that are live go on.',
        change_url(canceled),
        canceled,
    )


def _cancel_with_runs(actor: Actor, backfill: Backfill) -> SafeString:
    canceled = operations.cancel_backfill(actor=actor, backfill=backfill, cancel_runs=True)
    return format_html('The <a href="{}">{}</a> is canceled, and its live runs too.', change_url(canceled), canceled)


@admin.register(Backfill)
class BackfillAdmin(DeedsAdmin, ReadOnlyAdmin):
    list_display = ("schedule", "task", "state_shown", "progress", "overlap", "range_start", "range_end", "created")
    list_select_related = ("schedule__task",)
    list_filter = ("state",)
    linked_by = ("schedule__id__exact",)
    ordering = ("-id",)
    change_form_outer_before_template = "console/backfill_before.html"
    range_start = exact_time("start_at", "from")
    range_end = exact_time("end_at", "to")
    created = exact_time("created_at", "created")
    deeds = (
        Deed(
            name="cancel",
            label="Cancel",
            permission=OPERATE_TASK,
            perform=_cancel,
            is_offered=lambda backfill: backfill.state == BackfillState.RUNNING,
            confirm="Cancel this backfill? It starts no more; its runs that are live go on.",
            is_danger=True,
        ),
        Deed(
            name="cancel-with-runs",
            label="Cancel with its runs",
            permission=OPERATE_TASK,
            perform=_cancel_with_runs,
            is_offered=lambda backfill: "cancel" in allowed_actions(backfill) and live_runs(backfill).exists(),
            confirm="Cancel this backfill and its queued and running runs?",
            is_danger=True,
        ),
    )

    def get_urls(self) -> list[URLPattern]:
        make = self.admin_site.admin_view(self.make_view)
        return [path("of/<uuid:schedule_id>/", make, name="scheduling_backfill_make"), *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        backfill = self.get_object(request, object_id)
        context = extra_context or {}
        if backfill is not None:
            context |= {
                "backfill": backfill,
                "buttons": self.buttons(request, backfill),
                "waits_for": waits_for(backfill).replace("_", " "),
                "done": _done(backfill),
                "live_count": live_runs(backfill).count(),
                "runs_url": list_url(Run, backfill__id__exact=backfill.pk),
            }
        return super().change_view(request, object_id, form_url, context)  # type: ignore[no-any-return]

    def make_view(self, request: HttpRequest, schedule_id: UUID) -> HttpResponse:
        """Ask for a range, show what it would start, and start that: the second button sends what was counted."""
        if not request.user.has_perm(OPERATE_TASK):
            raise PermissionDenied
        schedule = Schedule.objects.select_related("task").filter(pk=schedule_id).first()
        if schedule is None:
            raise Http404(f"there is no schedule {schedule_id}")
        words = _words(request)
        context: dict[str, Any] = {"words": words}
        if request.method == "POST":
            try:
                if "start_runs" in request.POST:
                    return self._made(request, schedule, words)
                context["preview"] = _preview(schedule, words)
            except SchedulingError as refusal:
                context["problems"] = _problem_words(refusal)
        return self._asked(request, schedule, context)

    def _made(self, request: HttpRequest, schedule: Schedule, words: dict[str, Any]) -> HttpResponse:
        backfill = operations.create_backfill(actor=actor_of(request), schedule=schedule, definition=_definition(words))
        self.message_user(request, "The backfill runs: the clock starts what its pace allows.", messages.SUCCESS)
        return HttpResponseRedirect(change_url(backfill))

    def _asked(self, request: HttpRequest, schedule: Schedule, context: dict[str, Any]) -> HttpResponse:
        page = {
            **self.admin_site.each_context(request),
            "title": f"Backfill {schedule}",
            "opts": self.opts,
            "schedule": schedule,
            "overlaps": BackfillOverlap.values,
            "backfills_url": list_url(Backfill, schedule__id__exact=schedule.pk),
            **context,
        }
        return TemplateResponse(request, "console/backfill.html", page)

    @admin.display(description="task")
    def task(self, backfill: Backfill) -> str:
        return backfill.schedule.task.title

    @admin.display(description="state", ordering="state")
    def state_shown(self, backfill: Backfill) -> SafeString:
        return badge(backfill.state, Tone.BUSY if backfill.state == BackfillState.RUNNING else None)

    @admin.display(description="done")
    def progress(self, backfill: Backfill) -> str:
        return f"{_done(backfill)} of {backfill.total_count}"


def _done(backfill: Backfill) -> int:
    return backfill.started_count + backfill.skipped_count


def _words(request: HttpRequest) -> dict[str, Any]:
    """What the form says; an unsent form says what is usual."""
    given = request.POST
    return {
        "start": given.get("start", "").strip(),
        "end": given.get("end", "").strip(),
        "overlap": given.get("overlap", BackfillOverlap.QUEUE_ALL.value),
        "max_active": given.get("max_active", "1").strip(),
        "only_missing": "only_missing" in given or request.method != "POST",
    }


def _definition(words: dict[str, Any]) -> dict[str, Any]:
    """The words as the API takes them; what is no number is refused there, at its place."""
    number = words["max_active"]
    is_number = number.isascii() and number.isdigit() and len(number) < 10
    return {**words, "max_active": int(number) if is_number else number}


def _preview(schedule: Schedule, words: dict[str, Any]) -> dict[str, Any]:
    found = operations.preview_backfill(
        schedule=schedule, given={name: words[name] for name in ("start", "end", "only_missing")}
    )
    return {
        "found": found,
        "first": local_moment(found.first_at, schedule.timezone),
        "last": local_moment(found.last_at, schedule.timezone),
    }


def _problem_words(refusal: SchedulingError) -> list[str]:
    if not refusal.problems:
        return [refusal_words(refusal)]
    return [
        f"{each.pointer.strip('/')}: {each.detail} {each.hint or ''}".strip(": ").strip() for each in refusal.problems
    ]
