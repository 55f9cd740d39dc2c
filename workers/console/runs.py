"""The list and the page of runs, with what an operator can do to them."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from pipelines.document import DocumentInvalid
from scheduling.agents.roles import OPERATE_RUN
from scheduling.audit.operations import Actor
from scheduling.bulk.models import BulkOperation
from scheduling.bulk.operations import create_redrive, preview_redrive
from scheduling.console.badges import run_badge, simulated_badge
from scheduling.console.deeds import Deed, DeedsAdmin, actor_of, do_to_all, refusal_words
from scheduling.console.listing import ReadOnlyAdmin, change_url, exact_time, list_url, object_url
from scheduling.console.words import duration, moment
from scheduling.errors import SchedulingError
from scheduling.ids import first_id_at
from scheduling.instants import database_now
from scheduling.runs.models import Run
from scheduling.runs.operations import cancel_run, retry_run, snooze_run, start_run
from scheduling.runs.selectors import allowed_actions, attempt_of, effective_state, in_state
from scheduling.runs.states import LIVE_STATES, RunState
from scheduling.tasks.models import Task
from workers.console.dead_letters import RETRIED_AT_ONCE, dead_groups, dead_runs, newest_dead
from workers.console.run_page import run_page
from workers.recordings import record_run
from workers.replays import may_be_replayed, replay_run

_TASKS_SEARCHED = 200
_SNOOZE = timedelta(hours=1)
_FILTERS = ("task", "queue", "cause", "code", "failed_after", "failed_before")


def _link(run: Run) -> SafeString:
    return format_html('<a href="{}">Run {}</a>', change_url(run), run.pk)


def _cancel(actor: Actor, run: Run) -> SafeString:
    canceled = cancel_run(actor=actor, run=run)
    if effective_state(canceled) == RunState.CANCELED:
        return format_html("{} is canceled.", _link(run))
    return format_html("{} is being canceled: its worker has been told to stop.", _link(run))


def _retry(actor: Actor, run: Run) -> SafeString:
    retry_run(actor=actor, run=run)
    return format_html("{} is queued again. Steps that are finished do not run again.", _link(run))


def _run_again(actor: Actor, run: Run) -> SafeString:
    started = start_run(actor=actor, task=run.task, params=run.params, simulate=run.simulated)
    return format_html('A new run with the same params is queued: <a href="{}">{}</a>.', change_url(started), started)


def _snooze_hour(actor: Actor, run: Run) -> SafeString:
    snoozed = snooze_run(actor=actor, run=run, span=_SNOOZE)
    return format_html("{} is put off until {}.", _link(run), moment(snoozed.due_work.available_at))


def _is_simulated(request: HttpRequest) -> bool:
    return request.POST.get("simulated") == "true"


RETRY = Deed(
    name="retry",
    label="Retry",
    permission=OPERATE_RUN,
    perform=_retry,
    is_offered=lambda run: run.state == RunState.FAILED,
)


class StateFilter(admin.SimpleListFilter):
    """By what a run does now: a running one is told by its due work."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(state.value, state.value) for state in RunState]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Run]) -> QuerySet[Run]:
        chosen = self.value()
        return in_state(queryset, RunState(chosen)) if chosen in RunState.values else queryset


class MadeFilter(admin.SimpleListFilter):
    """By the time of making, which the id begins with: the primary key serves as the index."""

    title = "time of creation"
    parameter_name = "made"
    _SPANS = {
        "hour": ("last hour", timedelta(hours=1)),
        "day": ("last 24 hours", timedelta(days=1)),
        "week": ("last 7 days", timedelta(days=7)),
    }

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterator[tuple[str, str]]:
        return ((name, words) for name, (words, _) in self._SPANS.items())

    def queryset(self, request: HttpRequest, queryset: QuerySet[Run]) -> QuerySet[Run]:
        span = self._SPANS.get(self.value() or "")
        return queryset.filter(id__gte=first_id_at(timezone.now() - span[1])) if span else queryset


@admin.register(Run)
class RunAdmin(DeedsAdmin, ReadOnlyAdmin):
    list_display = ("run", "state_shown", "task_link", "trigger_kind", "scheduled", "made", "took", "attempt_shown")
    list_display_links = ("run",)
    list_filter = (StateFilter, "trigger_kind", MadeFilter, "simulated")
    linked_by = ("task__id__exact", "backfill__id__exact", "parent_id")
    search_fields = ("id",)
    search_help_text = "The id of a run, or the beginning of a task's key."
    ordering = ("-id",)
    scheduled = exact_time("scheduled_for", "scheduled for")
    made = exact_time("created_at", "created")
    deeds = (
        Deed(
            name="cancel",
            label="Cancel",
            permission=OPERATE_RUN,
            perform=_cancel,
            is_offered=lambda run: run.state in LIVE_STATES,
            confirm="Cancel this run?",
            is_danger=True,
        ),
        RETRY,
        Deed(
            name="snooze",
            label="Snooze an hour",
            permission=OPERATE_RUN,
            perform=_snooze_hour,
            is_offered=lambda run: "snooze" in allowed_actions(run),
        ),
        Deed(
            name="again",
            label="Run again",
            permission=OPERATE_RUN,
            perform=_run_again,
            is_offered=lambda run: run.state not in LIVE_STATES,
        ),
    )

    def get_urls(self) -> list[URLPattern]:
        shown = self.admin_site.admin_view(self.dead_letters_view)
        fixtures = self.admin_site.admin_view(self.fixtures_view)
        return [
            path("dead-letters/", shown, name="dead_letters"),
            path("<uuid:run_id>/fixtures/", fixtures, name="run_fixtures"),
            path("<uuid:run_id>/replay/", self.admin_site.admin_view(self.replay_view), name="run_replay"),
            *super().get_urls(),
        ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Run]:
        rows = super().get_queryset(request).select_related("task", "due_work")
        return rows.defer("params", "output", "error")  # type: ignore[no-any-return]

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Run | None:
        try:
            key = UUID(object_id)
        except ValueError:
            return None
        whole = Run.objects.select_related("task", "revision", "schedule", "agent", "due_work")
        return whole.filter(pk=key).first()

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Run], search_term: str
    ) -> tuple[QuerySet[Run], bool]:
        """An id, or the beginning of a task's key; the runs of a task are found by their index."""
        term = search_term.strip()
        if not term:
            return queryset, False
        try:
            return queryset.filter(pk=UUID(term)), False
        except ValueError:
            tasks = Task.objects.filter(key__istartswith=term).values_list("pk", flat=True)[:_TASKS_SEARCHED]
            return queryset.filter(task__in=list(tasks)), False

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        run = self.get_object(request, object_id)
        if run is None:
            raise Http404(f"there is no run {object_id}")
        if not self.has_view_permission(request, run):
            raise PermissionDenied
        context = {
            **self.admin_site.each_context(request),
            "title": f"Run of {run.task.title}",
            "opts": self.opts,
            "original": run,
            "buttons": self.buttons(request, run),
            "may_replay": may_be_replayed(run) and request.user.has_perm(OPERATE_RUN),
            **run_page(run, now=database_now()),
        }
        return TemplateResponse(request, "console/run.html", context)

    def fixtures_view(self, request: HttpRequest, run_id: UUID) -> HttpResponse:
        """The run's document with what its steps have answered, as a file to simulate."""
        run = Run.objects.select_related("revision", "event").filter(pk=run_id).first()
        if run is None:
            raise Http404(f"there is no run {run_id}")
        if not self.has_view_permission(request, run):
            raise PermissionDenied
        try:
            recorded = record_run(run)
        except DocumentInvalid as error:
            messages.error(request, f"Its document cannot be used on this host: {error}")
            return HttpResponseRedirect(change_url(run))
        for note in recorded.notes:  # shown by the next page: the answer is a file
            messages.warning(request, f"Of the fixtures of run {run_id}: {note}.")
        answer = HttpResponse(
            orjson.dumps(recorded.document, option=orjson.OPT_INDENT_2), content_type="application/json"
        )
        answer["Content-Disposition"] = f'attachment; filename="run-{run_id}.json"'
        return answer

    def replay_view(self, request: HttpRequest, run_id: UUID) -> HttpResponse:
        """Do the run again from a step; a POST only."""
        if not request.user.has_perm(OPERATE_RUN):
            raise PermissionDenied
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        run = Run.objects.filter(pk=run_id).first()
        if run is None:
            raise Http404(f"there is no run {run_id}")
        try:
            made = replay_run(actor=actor_of(request), run=run, from_step=request.POST.get("from", "")[:100])
        except SchedulingError as error:
            messages.error(request, refusal_words(error))
            return HttpResponseRedirect(change_url(run))
        messages.success(request, "This run does it again. What was finished before is not run again.")
        return HttpResponseRedirect(change_url(made))

    def dead_letters_view(self, request: HttpRequest) -> HttpResponse:
        """Failed runs by their error; a POST retries those of one group."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        if request.method == "POST":
            return self._redrive(request) if "redrive" in request.POST else self._retry_group(request)
        groups, has_more = dead_groups()
        context = {
            **self.admin_site.each_context(request),
            "title": "Dead letters",
            "groups": groups,
            "newest": newest_dead(),
            "operations": BulkOperation.objects.order_by("-pk")[:5],
            "has_more": has_more,
            "most_at_once": RETRIED_AT_ONCE,
            "may_retry": request.user.has_perm(OPERATE_RUN),
            "failed_url": list_url(Run, state=RunState.FAILED.value),
        }
        return TemplateResponse(request, "console/dead_letters.html", context)

    def _redrive(self, request: HttpRequest) -> HttpResponse:
        """Show what would be redriven, and with the count that was shown redrive it."""
        if not request.user.has_perm(OPERATE_RUN):
            raise PermissionDenied
        chosen: dict[str, Any] = {name: request.POST[name] for name in _FILTERS if request.POST.get(name)}
        if request.POST.get("simulated"):
            chosen["simulated"] = _is_simulated(request)
        if request.POST["redrive"] == "selected" or "runs" in request.POST:
            chosen["runs"] = request.POST.getlist("runs")
        try:
            if request.POST["redrive"] == "start":
                expected = request.POST.get("expected_count", "")
                operation = create_redrive(
                    actor=actor_of(request),
                    agent=None,
                    given=chosen,
                    expected_count=int(expected) if expected.isdecimal() and len(expected) < 10 else None,
                )
                self.message_user(request, "The redrive runs: the clock takes batch after batch.", messages.SUCCESS)
                return HttpResponseRedirect(change_url(operation))
            preview = preview_redrive(agent=None, given=chosen)
        except SchedulingError as refusal:
            self.message_user(request, refusal_words(refusal), messages.ERROR)
            return HttpResponseRedirect(reverse("admin:dead_letters"))
        page = {
            **self.admin_site.each_context(request),
            "title": "Redrive",
            "opts": self.opts,
            "chosen": chosen,
            "preview": preview,
        }
        return TemplateResponse(request, "console/redrive.html", page)

    def _retry_group(self, request: HttpRequest) -> HttpResponse:
        if not request.user.has_perm(OPERATE_RUN):
            raise PermissionDenied
        code, cause = request.POST.get("code", ""), request.POST.get("cause", "")
        dead = dead_runs(code=code, cause=cause, simulated=_is_simulated(request))
        for level, words in do_to_all(request, RETRY, dead):
            self.message_user(request, words, level)
        if not dead:
            self.message_user(request, "There is none of them left. Nothing was done.", messages.WARNING)
        return HttpResponseRedirect(reverse("admin:dead_letters"))

    @admin.display(description="run")
    def run(self, run: Run) -> str:
        return f"…{str(run.pk)[-12:]}"

    @admin.display(description="state")
    def state_shown(self, run: Run) -> SafeString:
        return format_html("{} {}", run_badge(effective_state(run)), simulated_badge() if run.simulated else "")

    @admin.display(description="task")
    def task_link(self, run: Run) -> SafeString:
        return format_html('<a href="{}">{}</a>', object_url(Task, run.task_id), run.task.title)

    @admin.display(description="duration")
    def took(self, run: Run) -> str:
        return duration(run.finished_at - run.started_at if run.finished_at and run.started_at else None)

    @admin.display(description="attempt")
    def attempt_shown(self, run: Run) -> int:
        return attempt_of(run)
