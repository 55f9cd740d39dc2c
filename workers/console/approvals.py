"""The inbox of approvals: what runs ask people, and the page on which it is decided."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from scheduling.agents.roles import OPERATE_RUN
from scheduling.console.badges import badge
from scheduling.console.deeds import actor_of, refusal_words
from scheduling.console.listing import ReadOnlyAdmin, exact_time, list_url, object_url
from scheduling.console.words import NOTHING
from scheduling.errors import NotValid, SchedulingError
from scheduling.runs.models import Run
from scheduling.tasks.models import Task
from workers.approvals import operations
from workers.approvals.form_fields import FilledIn, form_of, problems_by_field
from workers.approvals.selectors import OPEN, STATES, approvals, in_state, objection_to, state_of
from workers.models import Question


class StateFilter(admin.SimpleListFilter):
    """What can still be decided, unless something else is asked for."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("all", "all"), *((state, state) for state in STATES[1:])]

    def choices(self, changelist: Any) -> Iterator[Any]:
        first, *others = super().choices(changelist)
        first["display"] = OPEN
        yield from (first, *others)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Question]) -> QuerySet[Question]:
        return queryset if self.value() == "all" else in_state(queryset, self.value() or OPEN)


@admin.register(Question)
class ApprovalAdmin(ReadOnlyAdmin):
    list_display = ("title", "state_shown", "task_link", "run_link", "asked", "ends", "decided_by")
    list_display_links = ("title",)
    list_filter = (StateFilter,)
    linked_by = ("run_id",)
    ordering = ("-id",)
    asked = exact_time("created_at", "asked")
    ends = exact_time("until", "until")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Question]:
        return approvals()

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show it; a POST decides, for whoever may operate runs."""
        approval = self._found(object_id)
        if not self.has_view_permission(request, approval):
            raise PermissionDenied
        form = form_of(approval.asks.get("form"), request.POST if "approve" in request.POST else None)
        if request.method == "POST":
            if not request.user.has_perm(OPERATE_RUN):
                raise PermissionDenied
            if (answer := self._decide(request, approval, form)) is not None:
                return answer
        may_operate = request.user.has_perm(OPERATE_RUN)
        is_open = state_of(approval) == OPEN
        context = {
            **self.admin_site.each_context(request),
            "title": approval.asks["title"],
            "opts": self.opts,
            "original": approval,
            "approval": approval,
            "state": state_of(approval),
            "answer": approval.answer,
            "objection": objection_to(actor_of(request), approval, approval.run) if is_open and may_operate else None,
            "may_decide": is_open and may_operate,
            "form": form,
            "reason": request.POST.get("reason", ""),
        }
        return TemplateResponse(request, "console/approval.html", context)

    def _found(self, object_id: str) -> Question:
        try:
            return approvals().get(pk=UUID(object_id))
        except (ValueError, Question.DoesNotExist) as error:
            raise Http404(f"there is no approval {object_id}") from error

    def _decide(self, request: HttpRequest, approval: Question, form: FilledIn | None) -> HttpResponse | None:
        """Carry the decision out; None where the form has to be filled in again."""
        actor, reason = actor_of(request), request.POST.get("reason", "").strip()
        try:
            if "approve" in request.POST:
                if form is not None and not form.is_valid():
                    return None
                given = {} if form is None else form.values()
                operations.approve(actor=actor, approval=approval, form=given, reason=reason)
                done = "Approved: the run goes on."
            else:
                operations.reject(actor=actor, approval=approval, reason=reason)
                done = "Rejected: the run is told."
        except NotValid as refusal:
            if form is None:
                self.message_user(request, refusal_words(refusal), messages.ERROR)
                return None
            for field, words in problems_by_field(form, refusal.problems):
                form.add_error(field, words)
            return None
        except SchedulingError as refusal:
            self.message_user(request, refusal_words(refusal), messages.ERROR)
            return HttpResponseRedirect(object_url(Question, approval.pk))
        self.message_user(request, done, messages.SUCCESS)
        return HttpResponseRedirect(list_url(Question))

    @admin.display(description="title")
    def title(self, approval: Question) -> str:
        return str(approval.asks["title"])

    @admin.display(description="state")
    def state_shown(self, approval: Question) -> SafeString:
        return badge(state_of(approval))

    @admin.display(description="task")
    def task_link(self, approval: Question) -> SafeString:
        return format_html('<a href="{}">{}</a>', object_url(Task, approval.run.task_id), approval.run.task.title)

    @admin.display(description="run")
    def run_link(self, approval: Question) -> SafeString:
        return format_html('<a href="{}">…{}</a>', object_url(Run, approval.run_id), str(approval.run_id)[-12:])

    @admin.display(description="decided by")
    def decided_by(self, approval: Question) -> str:
        return str(approval.answer["by"]) if isinstance(approval.answer, dict) else NOTHING
