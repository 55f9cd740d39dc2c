"""Queues in the console: what waits, what is paused and why, and the forms by which they are operated."""

from collections.abc import Callable
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.views.decorators.http import require_POST
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminTextInputWidget, UnfoldBooleanSwitchWidget

from scheduling.agents.roles import OPERATE_QUEUE
from scheduling.console.deeds import actor_of, refusal_words
from scheduling.console.forms import OperationAdmin, OperationForm
from scheduling.console.listing import ReadOnlyAdmin, exact_time
from scheduling.console.words import duration
from scheduling.definitions.durations import duration_text
from scheduling.definitions.fields import Instant
from scheduling.definitions.strict import parse
from scheduling.errors import SchedulingError
from scheduling.queues import operations
from scheduling.queues.definition import QueuePause
from scheduling.queues.models import Queue, RateBucket
from scheduling.queues.selectors import QueueState, bucket_wait, queue_state, queue_states


class QueueForm(OperationForm):
    name = forms.CharField(help_text="As tasks name it.", widget=UnfoldAdminTextInputWidget)
    rate_limit = forms.IntegerField(
        required=False,
        help_text="At most so many starts in each period, over all workers. Empty: no limit.",
        widget=UnfoldAdminIntegerFieldWidget,
    )
    rate_period = forms.CharField(
        required=False, help_text="ISO 8601, such as PT1M.", widget=UnfoldAdminTextInputWidget
    )
    rate_burst = forms.IntegerField(
        required=False, help_text="So many of them at once. Empty: as the limit.", widget=UnfoldAdminIntegerFieldWidget
    )
    is_fair = forms.BooleanField(
        required=False, help_text="Its agents take turns, whoever queued first.", widget=UnfoldBooleanSwitchWidget
    )
    weight = forms.IntegerField(
        initial=1,
        help_text="1 to 10: its share of the workers beside other queues that have work due.",
        widget=UnfoldAdminIntegerFieldWidget,
    )

    field_of_pointer: ClassVar[dict[str, str]] = {
        "rate": "rate_limit",
        "rate/limit": "rate_limit",
        "rate/period": "rate_period",
        "rate/burst": "rate_burst",
        "fair": "is_fair",
    }

    class Meta:
        model = Queue
        fields = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.is_new:
            del self.fields["name"]
            self.initial = {**self.initial, **_as_written(self.instance)}

    def carry_out(self, given: dict[str, Any]) -> Queue:
        has_rate = given["rate_limit"] is not None or given["rate_period"] or given["rate_burst"] is not None
        rate = {"limit": given["rate_limit"], "period": given["rate_period"], "burst": given["rate_burst"]}
        changes = {"rate": rate if has_rate else None, "fair": given["is_fair"], "weight": given["weight"]}
        name = given["name"] if self.is_new else self.instance.name
        return operations.update_queue(actor=self.actor, name=name, changes=changes)


def _as_written(queue: Queue) -> dict[str, Any]:
    return {
        "rate_limit": queue.rate_limit,
        "rate_period": duration_text(queue.rate_period) if queue.rate_period else "",
        "rate_burst": queue.rate_burst,
        "is_fair": queue.is_fair,
        "weight": queue.weight,
    }


@admin.register(Queue)
class QueueAdmin(OperationAdmin):
    """The list is of every queue that holds something, with a row or without: so it is a page of its own."""

    form = QueueForm
    ordering = ("name",)
    change_form_outer_before_template = "console/queue_before.html"

    def get_urls(self) -> list[URLPattern]:
        pause = self.admin_site.admin_view(require_POST(self.pause_view))
        resume = self.admin_site.admin_view(require_POST(self.resume_view))
        return [
            path("of/<slug:name>/pause/", pause, name="scheduling_queue_pause"),
            path("of/<slug:name>/resume/", resume, name="scheduling_queue_resume"),
            *super().get_urls(),
        ]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm(OPERATE_QUEUE))

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.has_perm(OPERATE_QUEUE))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        fields = ["rate_limit", "rate_period", "rate_burst", "is_fair", "weight"]
        return ((None, {"fields": fields if obj else ["name", *fields]}),)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        page = {
            **self.admin_site.each_context(request),
            "title": "Queues",
            "opts": self.opts,
            "queues": [_shown(state) for state in queue_states()],
            "may_operate": request.user.has_perm(OPERATE_QUEUE),
            "add_url": reverse("admin:scheduling_queue_add"),
        }
        return TemplateResponse(request, "console/queues.html", page)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        queue = self.get_object(request, object_id)
        context = extra_context or {}
        if queue is not None:
            context |= {"shown": _shown(queue_state(queue.pk)), "may_operate": request.user.has_perm(OPERATE_QUEUE)}
        return super().change_view(request, object_id, form_url, context)  # type: ignore[no-any-return]

    def pause_view(self, request: HttpRequest, name: str) -> HttpResponse:
        """Pause, with the reason and the end that were given. 403 without the permission."""
        return self._operate(request, name, _pause)

    def resume_view(self, request: HttpRequest, name: str) -> HttpResponse:
        return self._operate(request, name, _resume)

    def _operate(self, request: HttpRequest, name: str, perform: Callable[[HttpRequest, str], str]) -> HttpResponse:
        if not request.user.has_perm(OPERATE_QUEUE):
            raise PermissionDenied
        if name not in {state.depth.queue for state in queue_states()}:
            raise Http404(f"there is no queue {name!r}")
        try:
            self.message_user(request, perform(request, name), "success")
        except SchedulingError as refusal:
            self.message_user(request, refusal_words(refusal), "error")
        return HttpResponseRedirect(reverse("admin:scheduling_queue_changelist"))


def _resume(request: HttpRequest, name: str) -> str:
    operations.resume_queue(actor=actor_of(request), name=name)
    return f"{name} is resumed."


def _pause(request: HttpRequest, name: str) -> str:
    until = request.POST.get("until", "").strip()
    # What a person writes is UTC, as all instants of the console are; an offset may be given.
    given = parse(
        QueuePause, {"reason": request.POST.get("reason", "").strip(), "until": _with_offset(until) if until else None}
    )
    operations.pause_queue(actor=actor_of(request), name=name, reason=given["reason"], until=given["until"])
    return f"{name} is paused. What workers hold is finished."


def _with_offset(text: str) -> str:
    has_offset = text[-1:] in ("Z", "z") or "+" in text[10:] or "-" in text[10:]
    return text if has_offset else f"{text.replace(' ', 'T')}Z"


def _shown(state: QueueState) -> dict[str, Any]:
    queue = state.control
    rate = ""
    if queue.rate_period is not None:
        rate = f"{queue.rate_limit} in {duration(queue.rate_period)}, {queue.burst} at once"
    return {
        "state": state,
        "name": state.depth.queue,
        "age": duration(state.depth.oldest_due_seconds),
        "rate": rate,
        "is_stored": queue.is_stored,
        "until": Instant().to_representation(queue.paused_until) if state.is_paused and queue.paused_until else "",
        "next_start_in": bucket_wait(f"queue:{queue.name}") or 0.0,
    }


@admin.register(RateBucket)
class RateBucketAdmin(ReadOnlyAdmin):
    list_display = ("key", "tokens", "refilled")
    search_fields = ("key",)
    ordering = ("key",)
    refilled = exact_time("refilled_at", "as of")
