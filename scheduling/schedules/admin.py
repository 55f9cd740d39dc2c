"""Schedules: when a task runs, what comes next, and what passed without a run."""

from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from scheduling.agents.models import Agent
from scheduling.agents.roles import OPERATE_TASK
from scheduling.audit.operations import Actor
from scheduling.console.badges import badge
from scheduling.console.code import yaml_text
from scheduling.console.deeds import Deed, actor_of, refusal_words
from scheduling.console.forms import OperationAdmin, OperationForm
from scheduling.console.listing import ReadOnlyAdmin, change_url, exact_time
from scheduling.console.pausing import pause_end_in
from scheduling.console.words import local_moment
from scheduling.core.recurrence import ScheduleError
from scheduling.definitions.durations import duration_text
from scheduling.errors import SchedulingError
from scheduling.instants import database_now
from scheduling.schedules import operations
from scheduling.schedules.forecast import Forecast, forecast_of, forecast_of_words
from scheduling.schedules.models import (
    FoldPolicy,
    GapPolicy,
    MisfirePolicyName,
    Miss,
    Schedule,
    ScheduleKind,
    ScheduleState,
)
from scheduling.schedules.rules import calendar_keys
from scheduling.schedules.selectors import upcoming
from scheduling.tasks.models import Task

_SHOWN = 10


def _text(*, required: bool = False, help_text: str = "") -> forms.CharField:
    return forms.CharField(required=required, help_text=help_text, widget=UnfoldAdminTextInputWidget)


def _lines(help_text: str, *, required: bool = False) -> forms.CharField:
    return forms.CharField(required=required, help_text=help_text, widget=UnfoldAdminTextareaWidget({"rows": 2}))


def _choice(choices: Any, *, empty: str = "") -> forms.ChoiceField:
    offered = [("", empty), *choices] if empty else choices
    return forms.ChoiceField(choices=offered, required=not empty, widget=UnfoldAdminSelectWidget)


class ScheduleForm(OperationForm):
    """The fields as text, because the operation reads text: one parser for console and API."""

    kind = _choice(ScheduleKind.choices)
    expression = _lines(
        required=True,
        help_text=(
            "cron: 0 8 * * 1-5 · rrule: FREQ=WEEKLY;BYDAY=MO · interval: PT15M · once: 2030-01-31T08:00:00 · "
            "event: order.* · condition: PT5M · after: success. Several rules of cron or rrule: one a line."
        ),
    )
    timezone = _text(help_text="An IANA name, such as Europe/Chisinau. Empty: UTC.")
    starts_at = _text(help_text="The anchor in local time, such as 2026-03-29T08:30:00. Empty: the day of creation.")
    ends_at = _text(help_text="An instant with its offset, such as 2027-01-01T00:00:00Z. Empty: never.")
    exdates = _lines("Local times to leave out, one a line.")
    rdates = _lines("Local times to add, one a line.")
    calendars = _lines("Keys of exclusion calendars of the task's agent, one a line: nothing occurs on their days.")
    max_occurrences = forms.IntegerField(
        required=False,
        help_text="After so many runs it is completed. Empty: no maximum.",
        widget=UnfoldAdminTextInputWidget,
    )
    filter = _text(help_text="event, after: event.payload.total > 100, say · condition: outputs.rain_mm > 2, say.")
    after = _text(help_text="Kind after: the key of the task that is followed.")
    check_pipeline = forms.CharField(
        required=False,
        help_text="Kind condition: the pipeline that looks, as YAML; its output `met` says whether to fire.",
        widget=UnfoldAdminTextareaWidget({"rows": 8, "class": "ord-source", "spellcheck": "false"}),
    )
    jitter = _text(help_text="Each start is put off by a random part of this. ISO 8601, such as PT30S. Empty: none.")
    misfire_policy = _choice(MisfirePolicyName.choices)
    misfire_grace = _text(help_text="An occurrence that is late by more than this is a misfire. Empty: PT1M.")
    misfire_limit = forms.IntegerField(
        initial=100,
        required=False,
        help_text="Late runs at once, for the policy all. Empty: 100.",
        widget=UnfoldAdminTextInputWidget,
    )
    misfire_window = _text(help_text="How late is too late, for the policy all. Empty: no bound.")
    gap = _choice(GapPolicy.choices, empty="the kind's own")
    fold = _choice(FoldPolicy.choices, empty="first")

    field_of_pointer: ClassVar[dict[str, str]] = {
        "misfire": "misfire_policy",
        "misfire/grace": "misfire_grace",
        "misfire/limit": "misfire_limit",
        "misfire/window": "misfire_window",
        "check": "check_pipeline",
    }

    class Meta:
        model = Schedule
        fields = ("task",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.is_new:
            self.initial = {**self.initial, **_as_text(self.instance)}
        else:
            self.initial = {"timezone": "UTC", "jitter": "PT0S", "misfire_grace": "PT1M", **self.initial}
            self.initial.setdefault("misfire_policy", MisfirePolicyName.LAST.value)

    def carry_out(self, given: dict[str, Any]) -> Schedule:
        definition = _definition(given)
        if self.is_new:
            return operations.add_schedule(actor=self.actor, task=given["task"], definition=definition)
        return operations.update_schedule(actor=self.actor, schedule=self.instance, changes=definition)


def _definition(given: dict[str, Any]) -> dict[str, Any]:
    """What the form says, in the words of the API. An empty field is null: its default, also where it had another."""
    return {
        "kind": given["kind"],
        "expression": given["expression"].replace("\r\n", "\n"),  # as browsers send the lines of a text area
        "timezone": given["timezone"] or None,
        "jitter": given["jitter"] or None,
        "starts_at": given["starts_at"] or None,
        "ends_at": given["ends_at"] or None,
        "exdates": given["exdates"].split(),
        "rdates": given["rdates"].split(),
        "calendars": given["calendars"].split(),
        "max_occurrences": given["max_occurrences"],
        "filter": given["filter"],
        "after": given["after"] or None,
        "check": given["check_pipeline"] or None,
        "gap": given["gap"] or None,
        "fold": given["fold"] or None,
        "misfire": {
            "policy": given["misfire_policy"] or None,
            "grace": given["misfire_grace"] or None,
            "limit": given["misfire_limit"],
            "window": given["misfire_window"] or None,
        },
    }


def _as_text(schedule: Schedule) -> dict[str, Any]:
    return {
        "starts_at": schedule.starts_at.isoformat(),
        "ends_at": schedule.ends_at.isoformat().replace("+00:00", "Z") if schedule.ends_at else "",
        "exdates": "\n".join(wall.isoformat() for wall in schedule.exdates),
        "rdates": "\n".join(wall.isoformat() for wall in schedule.rdates),
        "calendars": "\n".join(calendar_keys(schedule)),
        "max_occurrences": schedule.max_occurrences,
        "filter": schedule.filter,
        "after": schedule.after_task.key if schedule.after_task else "",
        "check_pipeline": yaml_text(schedule.check_revision.document) if schedule.check_revision else "",
        "jitter": duration_text(schedule.jitter),
        "misfire_grace": duration_text(schedule.misfire_grace),
        "misfire_window": duration_text(schedule.misfire_window) if schedule.misfire_window else "",
        **{
            name: getattr(schedule, name)
            for name in ("kind", "expression", "timezone", "misfire_policy", "misfire_limit", "gap", "fold")
        },
    }


def _pause(actor: Actor, schedule: Schedule) -> SafeString:
    operations.pause_schedule(actor=actor, schedule=schedule)
    return format_html('<a href="{}">{}</a> is paused: it fires no more.', change_url(schedule), schedule)


def _resume(actor: Actor, schedule: Schedule) -> SafeString:
    resumed = operations.resume_schedule(actor=actor, schedule=schedule)
    at = local_moment(upcoming(resumed), resumed.timezone)
    return format_html('<a href="{}">{}</a> is resumed. Next: {}.', change_url(schedule), schedule, at)


def _delete(actor: Actor, schedule: Schedule) -> SafeString:
    operations.delete_schedule(actor=actor, schedule=schedule)
    return format_html("{} of {} is deleted. Its runs stay.", schedule, schedule.task)


@admin.register(Schedule)
class ScheduleAdmin(OperationAdmin):
    form = ScheduleForm
    list_display = ("expression", "kind", "task", "state_shown", "next_local", "fired_count", "missed_count")
    list_select_related = ("task",)
    list_filter = ("state", "kind")
    search_fields = ("expression", "task__key")
    ordering = ("-id",)
    autocomplete_fields = ("task",)
    change_form_outer_before_template = "console/schedule_before.html"
    fieldsets = (
        (None, {"fields": ("task", "kind", "expression", "timezone")}),
        (
            "Bounds",
            {"fields": ("starts_at", "ends_at", "max_occurrences", "exdates", "rdates", "calendars", "jitter")},
        ),
        ("Event, condition, other task", {"fields": ("filter", "after", "check_pipeline")}),
        ("Late occurrences", {"fields": ("misfire_policy", "misfire_grace", "misfire_limit", "misfire_window")}),
        ("Clock changes", {"fields": ("gap", "fold")}),
    )
    deeds = (
        Deed(
            name="pause",
            label="Pause",
            permission=OPERATE_TASK,
            perform=_pause,
            is_offered=lambda schedule: schedule.state == ScheduleState.ACTIVE,
        ),
        Deed(
            name="resume",
            label="Resume",
            permission=OPERATE_TASK,
            perform=_resume,
            is_offered=lambda schedule: schedule.state in (ScheduleState.PAUSED, ScheduleState.QUARANTINED),
        ),
        Deed(
            name="delete",
            label="Delete",
            permission="scheduling.delete_schedule",
            perform=_delete,
            confirm="Delete this schedule? Its runs stay. This cannot be undone.",
            is_danger=True,
            removes=True,
        ),
    )

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Not by Django's own page, which knows no operations: deleting is a deed."""
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("task",) if obj else ()

    def get_urls(self) -> list[URLPattern]:
        preview = self.admin_site.admin_view(require_POST(self.preview_view))
        snooze = self.admin_site.admin_view(require_POST(self.snooze_view))
        return [
            path("preview/", preview, name="scheduling_schedule_preview"),
            path("<uuid:object_id>/snooze/", snooze, name="scheduling_schedule_snooze"),
            *super().get_urls(),
        ]

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        return super().add_view(request, form_url, {**(extra_context or {}), "forecast": Forecast()})  # type: ignore[no-any-return]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        schedule = self.get_object(request, object_id)
        context = extra_context or {}
        if schedule is not None:
            now = database_now()
            context |= {
                "schedule": schedule,
                "buttons": self.buttons(request, schedule),
                "forecast": forecast_of(schedule, now=now, count=_SHOWN),
                "misses": _latest_misses(schedule),
                "may_snooze": request.user.has_perm(OPERATE_TASK) and "pause" in operations.allowed_actions(schedule),
            }
        return super().change_view(request, object_id, form_url, context)  # type: ignore[no-any-return]

    def preview_view(self, request: HttpRequest) -> HttpResponse:
        """A piece of page: what the rule in the form would do. A rule that cannot be is no error.

        By POST, because the dates of a form can be longer than an address.
        """
        if not self.has_view_permission(request):
            raise PermissionDenied
        words = request.POST.dict()
        found = forecast_of_words(
            words,
            agent=_agent_of(words.get("task")),
            created_at=_created_at(words.get("schedule")),
            now=database_now(),
            count=_SHOWN,
        )
        return TemplateResponse(request, "console/forecast.html", {"forecast": found})

    def snooze_view(self, request: HttpRequest, object_id: Any) -> HttpResponse:
        """Pause with a reason, until a local time of the schedule's zone where one is given. 403 without the permission
        to operate."""
        if not request.user.has_perm(OPERATE_TASK):
            raise PermissionDenied
        schedule = self.get_object(request, str(object_id))
        if schedule is None:
            raise Http404
        try:
            until = pause_end_in(request.POST.get("until", ""), schedule.timezone)
        except ScheduleError:
            self.message_user(request, "Give a local date and time until which to snooze.", messages.ERROR)
            return HttpResponseRedirect(change_url(schedule))
        try:
            reason = request.POST.get("reason", "").strip()
            operations.pause_schedule(actor=actor_of(request), schedule=schedule, reason=reason, until=until)
        except SchedulingError as refusal:
            self.message_user(request, refusal_words(refusal), messages.ERROR)
        else:
            words = f"{schedule} is paused: it fires no more."
            if until is not None:
                words = f"{schedule} is snoozed until {local_moment(until, schedule.timezone)}."
            self.message_user(request, words, messages.SUCCESS)
        return HttpResponseRedirect(change_url(schedule))

    @admin.display(description="state", ordering="state")
    def state_shown(self, schedule: Schedule) -> SafeString:
        """The reason of one that is quarantined stands beside it: somebody has to do something about it."""
        if schedule.state == ScheduleState.QUARANTINED:
            return format_html('{} <span class="ord-none">{}</span>', badge(schedule.state), schedule.state_reason)
        return badge("held" if schedule.held_at and schedule.state == ScheduleState.ACTIVE else schedule.state)

    @admin.display(description="next fire", ordering="next_fire_at")
    def next_local(self, schedule: Schedule) -> str:
        return local_moment(upcoming(schedule), schedule.timezone)


def _agent_of(task_id: str | None) -> Agent | None:
    """The agent of the task that is chosen in a form."""
    try:
        task = Task.objects.select_related("agent").filter(pk=UUID(task_id or "")).first()
    except ValueError:
        return None
    return task.agent if task else None


def _created_at(schedule_id: str | None) -> datetime | None:
    """When the schedule that a form changes was made; None for a new one."""
    try:
        return Schedule.objects.filter(pk=UUID(schedule_id or "")).values_list("created_at", flat=True).first()
    except ValueError:
        return None


def _latest_misses(schedule: Schedule) -> QuerySet[Miss]:
    return schedule.misses.order_by("-id")[:_SHOWN]


@admin.register(Miss)
class MissAdmin(ReadOnlyAdmin):
    list_display = ("schedule_id", "how_many", "reason", "first", "last", "recorded")
    list_filter = ("reason",)
    ordering = ("-id",)
    first = exact_time("first_at", "first")
    last = exact_time("last_at", "last")
    recorded = exact_time("recorded_at", "recorded")

    @admin.display(description="missed")
    def how_many(self, miss: Miss) -> str:
        return f"at least {miss.count}" if miss.is_at_least else str(miss.count)
