"""Tasks: one page that shows what a task is and does, a form that edits it, and its revisions."""

import difflib
from typing import Any

import orjson
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST

from scheduling.agents.roles import OPERATE_TASK
from scheduling.audit.operations import Actor
from scheduling.console.badges import badge, simulated_badge
from scheduling.console.code import diff_block, json_text, yaml_block, yaml_text
from scheduling.console.deeds import Deed, actor_of, refusal_words
from scheduling.console.forms import OperationAdmin
from scheduling.console.listing import ReadOnlyAdmin, audit_url, change_url, exact_time, list_url, object_url
from scheduling.console.pausing import pause_end_in
from scheduling.console.words import moment
from scheduling.core.recurrence import ScheduleError
from scheduling.errors import SchedulingError
from scheduling.instants import database_now
from scheduling.runs.models import Run
from scheduling.runs.operations import start_run
from scheduling.schedules.forecast import forecast_of
from scheduling.tasks import operations
from scheduling.tasks.forms import TaskForm
from scheduling.tasks.models import RevisionPurpose, Task, TaskRevision, TaskState

_FIRES_SHOWN = 5
_SCHEDULES_SHOWN = 20
_RUNS_SHOWN = 10
_REVISIONS_SHOWN = 20


def _link(task: Task) -> SafeString:
    return format_html('<a href="{}">{}</a>', change_url(task), task)


def _started(task: Task, run: Run) -> SafeString:
    kind = "A simulated run" if run.simulated else "A run"
    return format_html('{} of {} is queued: <a href="{}">{}</a>.', kind, task, object_url(Run, run.pk), run.pk)


def _run(actor: Actor, task: Task) -> SafeString:
    return _started(task, start_run(actor=actor, task=task))


def _simulate(actor: Actor, task: Task) -> SafeString:
    return _started(task, start_run(actor=actor, task=task, simulate=True))


def _pause(actor: Actor, task: Task) -> SafeString:
    operations.pause_task(actor=actor, task=task)
    return format_html(
        "{} is paused: it fires no more, and what is queued waits. Runs that are held go on.", _link(task)
    )


def _resume(actor: Actor, task: Task) -> SafeString:
    operations.resume_task(actor=actor, task=task)
    return format_html("{} is resumed. Nothing that it missed is replayed.", _link(task))


def _archive(actor: Actor, task: Task) -> SafeString:
    operations.archive_task(actor=actor, task=task)
    return format_html("{} is archived: nothing of it starts any more, its queued runs are canceled.", _link(task))


_LIVE = (TaskState.ACTIVE, TaskState.PAUSED)


@admin.register(Task)
class TaskAdmin(OperationAdmin):
    form = TaskForm
    list_display = ("title", "key", "agent", "state_shown", "queue", "priority", "changed")
    list_select_related = ("agent",)
    list_filter = ("state", ("agent", admin.RelatedOnlyFieldListFilter), "queue")
    search_fields = ("key", "title")
    ordering = ("-id",)
    changed = exact_time("updated_at", "changed")
    fieldsets = (
        (None, {"fields": ("agent", "key", "title", "description")}),
        ("How", {"fields": ("pipeline", "params", "simulate")}),
        ("Queue", {"fields": ("queue", "priority", "overlap", "timeout", "retry", "pause_after_failures")}),
        (
            "Limits",
            {
                "fields": (
                    "concurrency_key",
                    "concurrency_limit",
                    "rate_limit",
                    "rate_period",
                    "dedupe_key",
                    "dedupe_window",
                )
            },
        ),
        ("Kept", {"fields": ("keep_runs", "keep_for", "labels")}),
    )
    deeds = (
        Deed(
            name="run",
            label="Run now",
            permission=OPERATE_TASK,
            perform=_run,
            is_offered=lambda task: task.state in _LIVE,
        ),
        Deed(
            name="simulate",
            label="Simulate",
            permission=OPERATE_TASK,
            perform=_simulate,
            is_offered=lambda task: task.state in _LIVE,
        ),
        Deed(
            name="pause",
            label="Pause",
            permission=OPERATE_TASK,
            perform=_pause,
            is_offered=lambda task: task.state == TaskState.ACTIVE,
        ),
        Deed(
            name="resume",
            label="Resume",
            permission=OPERATE_TASK,
            perform=_resume,
            is_offered=lambda task: task.state == TaskState.PAUSED,
        ),
        Deed(
            name="archive",
            label="Archive",
            permission="scheduling.delete_task",
            perform=_archive,
            is_offered=lambda task: task.state in _LIVE,
            confirm="Archive this task? Nothing of it starts any more. This cannot be undone.",
            is_danger=True,
        ),
    )

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never: runs and the audit trail name it. Archive it."""
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("agent",) if obj else ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Task]:
        return super().get_queryset(request).select_related("agent", "current_revision")  # type: ignore[no-any-return]

    def get_urls(self) -> list[URLPattern]:
        edit = self.admin_site.admin_view(self.edit_view)
        start = self.admin_site.admin_view(require_POST(self.start_view))
        snooze = self.admin_site.admin_view(require_POST(self.snooze_view))
        return [
            path("<uuid:object_id>/edit/", edit, name="scheduling_task_edit"),
            path("<uuid:object_id>/start/", start, name="scheduling_task_start"),
            path("<uuid:object_id>/snooze/", snooze, name="scheduling_task_snooze"),
            *super().get_urls(),
        ]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """What the task is and does. Editing is a page of its own."""
        task = self._found(request, object_id)
        if not self.has_view_permission(request, task):
            raise PermissionDenied
        context = {
            **self.admin_site.each_context(request),
            "title": task.title,
            "opts": self.opts,
            "original": task,
            "task": task,
            "buttons": self.buttons(request, task),
            "may_edit": self.has_change_permission(request, task) and task.state != TaskState.ARCHIVED,
            "may_run": request.user.has_perm(OPERATE_TASK) and task.state != TaskState.ARCHIVED,
            "may_pause": request.user.has_perm(OPERATE_TASK) and "pause" in operations.allowed_actions(task),
            "params_text": json_text(task.params),
            "runs_url": list_url(Run, task__id__exact=task.pk),
            "audit_url": audit_url(Task, task.pk),
            **_read(task),
        }
        return TemplateResponse(request, "console/task.html", context)

    def edit_view(self, request: HttpRequest, object_id: Any) -> HttpResponse:
        """The form. What the operation refuses stands on its field."""
        return super().change_view(request, str(object_id))  # type: ignore[no-any-return]

    def snooze_view(self, request: HttpRequest, object_id: Any) -> HttpResponse:
        """Pause with a reason, until an instant in UTC where one is given. 403 without the permission to operate."""
        if not request.user.has_perm(OPERATE_TASK):
            raise PermissionDenied
        task = self._found(request, str(object_id))
        try:
            until = pause_end_in(request.POST.get("until", ""), "UTC")
            reason = request.POST.get("reason", "").strip()
            operations.pause_task(actor=actor_of(request), task=task, reason=reason, until=until)
        except ScheduleError:
            self.message_user(request, "Give a date and time in UTC until which to pause.", messages.ERROR)
        except SchedulingError as refusal:
            self.message_user(request, refusal_words(refusal), messages.ERROR)
        else:
            end = f" until {moment(until)}" if until is not None else ""
            self.message_user(request, f"{task} is paused{end}: it fires no more.", messages.SUCCESS)
        return HttpResponseRedirect(change_url(task))

    def start_view(self, request: HttpRequest, object_id: Any) -> HttpResponse:
        """Run now with other params, perhaps simulated."""
        if not request.user.has_perm(OPERATE_TASK):
            raise PermissionDenied
        task = self._found(request, str(object_id))
        try:
            params = orjson.loads(request.POST.get("params") or "{}")
        except ValueError as error:
            self.message_user(request, f"The params are no JSON: {error}. Nothing was started.", messages.ERROR)
            return HttpResponseRedirect(change_url(task))
        try:
            run = start_run(actor=actor_of(request), task=task, params=params, simulate="simulate" in request.POST)
        except SchedulingError as refusal:
            self.message_user(request, refusal_words(refusal), messages.ERROR)
        else:
            self.message_user(request, _started(task, run), messages.SUCCESS)
        return HttpResponseRedirect(change_url(task))

    def response_post_save_change(self, request: HttpRequest, obj: Any) -> HttpResponseRedirect:
        return HttpResponseRedirect(change_url(obj))

    def response_post_save_add(self, request: HttpRequest, obj: Any) -> HttpResponseRedirect:
        return HttpResponseRedirect(change_url(obj))

    @admin.display(description="state", ordering="state")
    def state_shown(self, task: Task) -> SafeString:
        return format_html("{} {}", badge(task.state), simulated_badge() if task.simulate else "")

    def _found(self, request: HttpRequest, object_id: str) -> Task:
        task: Task | None = self.get_object(request, object_id)
        if task is None:
            raise Http404(f"there is no task {object_id}")
        return task


def _read(task: Task) -> dict[str, Any]:
    """What the page shows beyond the task's row: schedules with their next fires, runs, revisions."""
    now = database_now()
    schedules = task.schedules.order_by("id")[:_SCHEDULES_SHOWN]
    revisions = list(
        task.revisions.filter(purpose=RevisionPurpose.PIPELINE)
        .order_by("-number")
        .defer("document")[: _REVISIONS_SHOWN + 1]
    )
    return {
        "schedules": [(schedule, forecast_of(schedule, now=now, count=_FIRES_SHOWN)) for schedule in schedules],
        "runs": task.runs.select_related("due_work").defer("params", "output").order_by("-id")[:_RUNS_SHOWN],
        "revisions": revisions[:_REVISIONS_SHOWN],
    }


@admin.register(TaskRevision)
class TaskRevisionAdmin(ReadOnlyAdmin):
    list_display = ("number", "task", "created_by", "created")
    list_select_related = ("task",)
    search_fields = ("task__key",)
    ordering = ("-id",)
    fields = ("task_link", "number", "pipeline", "changes", "created_by", "created", "digest")
    created = exact_time("created_at", "created")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        return list(self.fields)

    @admin.display(description="task")
    def task_link(self, revision: TaskRevision) -> SafeString:
        return _link(revision.task)

    @admin.display(description="pipeline")
    def pipeline(self, revision: TaskRevision) -> SafeString:
        return yaml_block(revision.document)

    @admin.display(description="changes to the revision before")
    def changes(self, revision: TaskRevision) -> SafeString | str:
        before = (
            TaskRevision.objects.filter(task=revision.task_id, purpose=revision.purpose, number__lt=revision.number)
            .order_by("-number")
            .first()
        )
        if before is None:
            return "It is the first."
        lines = difflib.unified_diff(
            yaml_text(before.document).splitlines(),
            yaml_text(revision.document).splitlines(),
            str(before),
            str(revision),
            lineterm="",
        )
        return diff_block(list(lines))
