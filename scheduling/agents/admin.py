"""Agents and their tokens. Operators stand in `operators_admin`."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from scheduling.agents import operations
from scheduling.agents.models import Agent, AgentToken
from scheduling.agents.scopes import DEFAULT_SCOPES, SCOPES
from scheduling.audit.operations import Actor
from scheduling.console.badges import badge
from scheduling.console.deeds import Deed, actor_of, refusal_words
from scheduling.console.forms import OperationAdmin, OperationForm
from scheduling.console.listing import ConsoleAdmin, change_url, exact_time, list_url
from scheduling.definitions.durations import duration_text
from scheduling.errors import SchedulingError
from scheduling.instants import database_now
from scheduling.tasks.models import Task

MANAGE_AGENTS = "scheduling.change_agent"
MANAGE_TOKENS = "scheduling.change_agenttoken"


class AgentForm(OperationForm):
    description = forms.CharField(required=False, widget=UnfoldAdminTextareaWidget({"rows": 2}))
    scopes = forms.MultipleChoiceField(
        choices=[(name, f"{name}: {words}") for name, words in SCOPES.items()],
        widget=forms.CheckboxSelectMultiple(attrs={"class": "ord-checks"}),
        initial=list(DEFAULT_SCOPES),
        help_text="What its tokens may do at most.",
    )

    minimum_interval = forms.CharField(
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text="Its schedules fire no oftener than this. ISO 8601, such as PT5M. Empty: no bound.",
    )

    class Meta:
        model = Agent
        fields = ("name", "description", "scopes", "max_tasks", "minimum_interval", "requests_per_minute")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial["minimum_interval"] = duration_text(self.instance.minimum_interval)

    def carry_out(self, given: dict[str, Any]) -> Agent:
        given = {**given, "minimum_interval": given["minimum_interval"].strip() or "PT0S"}
        if self.is_new:
            return operations.create_agent(actor=self.actor, **given)
        return operations.update_agent(actor=self.actor, agent=self.instance, changes=given)


def _disable(actor: Actor, agent: Agent) -> SafeString:
    operations.disable_agent(actor=actor, agent=agent)
    return format_html("{} is disabled: every token of it is refused from now on. Its tasks go on.", agent)


def _enable(actor: Actor, agent: Agent) -> SafeString:
    operations.enable_agent(actor=actor, agent=agent)
    return format_html("{} is enabled: its tokens open the API again.", agent)


@admin.register(Agent)
class AgentAdmin(OperationAdmin):
    form = AgentForm
    list_display = ("name", "state", "description", "scope_count", "created")
    search_fields = ("name", "description")
    ordering = ("name",)
    change_form_outer_before_template = "console/agent_before.html"
    deeds = (
        Deed(
            name="disable",
            label="Disable",
            permission=MANAGE_AGENTS,
            perform=_disable,
            is_offered=lambda agent: agent.disabled_at is None,
            confirm="Refuse every token of this agent from now on?",
            is_danger=True,
        ),
        Deed(
            name="enable",
            label="Enable",
            permission=MANAGE_AGENTS,
            perform=_enable,
            is_offered=lambda agent: agent.disabled_at is not None,
        ),
    )
    created = exact_time("created_at", "created")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never: its tasks and the audit trail name it. Disable it."""
        return False

    def get_urls(self) -> list[URLPattern]:
        issue = self.admin_site.admin_view(require_POST(self.issue_view))
        return [path("<uuid:object_id>/issue/", issue, name="scheduling_agent_issue"), *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        agent = self.get_object(request, object_id)
        context = extra_context or {}
        if agent is not None:
            now = database_now()
            may_see = request.user.has_perm("scheduling.view_agenttoken")
            context |= {
                "buttons": self.buttons(request, agent),
                "state": _state_of(agent),
                "may_issue": request.user.has_perm("scheduling.add_agenttoken"),
                "may_see_tokens": may_see,
                "tokens": [(token, _token_state(token, now)) for token in _tokens_of(agent)] if may_see else [],
                "tasks_url": list_url(Task, agent__id__exact=agent.pk),
            }
        return super().change_view(request, object_id, form_url, context)  # type: ignore[no-any-return]

    def issue_view(self, request: HttpRequest, object_id: Any) -> HttpResponse:
        """Make a token and show it this once: the answer is a page of its own that no reload repeats silently."""
        if not request.user.has_perm("scheduling.add_agenttoken"):
            raise PermissionDenied
        agent = self.get_object(request, str(object_id))
        if agent is None:
            raise Http404
        try:
            token, text = operations.issue_token(
                actor=actor_of(request), agent=agent, name=request.POST.get("name", "").strip()[:80]
            )
        except SchedulingError as refusal:
            self.message_user(request, refusal_words(refusal), messages.ERROR)
            return HttpResponseRedirect(change_url(agent))
        return token_page(self, request, token, text)

    @admin.display(description="state")
    def state(self, agent: Agent) -> SafeString:
        return badge(_state_of(agent))

    @admin.display(description="scopes")
    def scope_count(self, agent: Agent) -> str:
        return f"{len(agent.scopes)} of {len(SCOPES)}"


def token_page(model_admin: ConsoleAdmin, request: HttpRequest, token: AgentToken, text: str) -> HttpResponse:
    """The page that shows a new token's text, which nobody can read again. Caches keep no page of the console."""
    context = {
        **model_admin.admin_site.each_context(request),
        "title": f"New token of {token.agent}",
        "token": token,
        "text": text,
        "opts": model_admin.opts,
    }
    return TemplateResponse(request, "console/token.html", context)


def _state_of(agent: Agent) -> str:
    return "enabled" if agent.disabled_at is None else "disabled"


def _tokens_of(agent: Agent) -> Any:
    return agent.tokens.order_by("-id")[:50]


def _token_state(token: AgentToken, now: Any) -> str:
    if token.revoked_at is not None:
        return "revoked"
    return "expired" if token.expires_at is not None and token.expires_at <= now else "usable"


def _revoke(actor: Actor, token: AgentToken) -> SafeString:
    operations.revoke_token(actor=actor, token=token)
    return format_html("Token {} of {} is revoked.", token, token.agent)


@admin.register(AgentToken)
class AgentTokenAdmin(OperationAdmin):
    """Tokens are issued on their agent's page; here they are found, rotated and revoked."""

    list_display = ("prefix", "agent", "name", "state", "created", "last_used", "expires")
    list_select_related = ("agent",)
    list_filter = (("revoked_at", admin.EmptyFieldListFilter),)
    search_fields = ("prefix", "name", "agent__name")
    ordering = ("-id",)
    fields = ("agent", "name", "prefix", "state", "scopes", "created", "last_used", "expires")
    readonly_fields = fields
    change_form_outer_before_template = "console/agent_token_before.html"
    created = exact_time("created_at", "created")
    last_used = exact_time("last_used_at", "last used")
    expires = exact_time("expires_at", "expires")
    deeds = (
        Deed(
            name="revoke",
            label="Revoke",
            permission=MANAGE_TOKENS,
            perform=_revoke,
            is_offered=lambda token: token.revoked_at is None,
            confirm="Refuse this token from now on? This cannot be undone.",
            is_danger=True,
        ),
    )

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Its row is changed by deeds alone."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_urls(self) -> list[URLPattern]:
        rotate = self.admin_site.admin_view(require_POST(self.rotate_view))
        return [path("<uuid:object_id>/rotate/", rotate, name="scheduling_agenttoken_rotate"), *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        token = self.get_object(request, object_id)
        context = extra_context or {}
        if token is not None:
            may_rotate = request.user.has_perm(MANAGE_TOKENS) and token.revoked_at is None
            context |= {"buttons": self.buttons(request, token), "token": token, "may_rotate": may_rotate}
        return super().change_view(request, object_id, form_url, context)  # type: ignore[no-any-return]

    def rotate_view(self, request: HttpRequest, object_id: Any) -> HttpResponse:
        """Give a new token in place of this one, which is refused from then on."""
        if not request.user.has_perm(MANAGE_TOKENS):
            raise PermissionDenied
        old = self.get_object(request, str(object_id))
        if old is None:
            raise Http404
        try:
            token, text = operations.rotate_token(actor=actor_of(request), token=old)
        except SchedulingError as refusal:
            self.message_user(request, refusal_words(refusal), messages.ERROR)
            return HttpResponseRedirect(change_url(old))
        return token_page(self, request, token, text)

    @admin.display(description="state")
    def state(self, token: AgentToken) -> SafeString:
        return badge(_token_state(token, database_now()))
