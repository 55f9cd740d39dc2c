"""Secrets in the console: written, limited, deleted; never shown."""

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from pipelines.models import Secret
from pipelines.secrets import operations
from scheduling.audit.operations import Actor
from scheduling.console.deeds import Deed
from scheduling.console.forms import OperationAdmin, OperationForm
from scheduling.console.listing import exact_time
from scheduling.errors import KeyTaken


class SecretForm(OperationForm):
    name = forms.CharField(
        help_text="Steps name it secrets.NAME. Letters, digits and underscores.",
        widget=UnfoldAdminTextInputWidget,
    )
    value = forms.CharField(
        strip=False,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
        help_text="At least 8 characters. It cannot be read again. One of several lines is set by the API.",
    )
    tools = forms.CharField(
        widget=UnfoldAdminTextareaWidget({"rows": 2}),
        initial="http.request",
        help_text="The tools that may be given it, one a line.",
    )
    hosts = forms.CharField(
        required=False,
        widget=UnfoldAdminTextareaWidget({"rows": 2}),
        help_text="The only hosts that http.request may send it to, one a line, such as api.example.com. Empty: any.",
    )

    class Meta:
        model = Secret
        fields = ("agent",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.is_new:
            written = {"tools": "\n".join(self.instance.tools), "hosts": "\n".join(self.instance.hosts)}
            self.initial = {**self.initial, **written, "name": self.instance.name}
            self.fields["name"].disabled = True
            self.fields["value"].required = False
            self.fields["value"].help_text = "Cannot be read. Empty: it stays what it is."

    def carry_out(self, given: dict[str, Any]) -> Secret:
        definition: dict[str, Any] = {"tools": given["tools"].split(), "hosts": given["hosts"].split()}
        if given["value"] or self.is_new:
            definition["value"] = given["value"]
        agent = given["agent"] if self.is_new else self.instance.agent
        name = given["name"] if self.is_new else self.instance.name
        if self.is_new and Secret.objects.filter(agent=agent, name=name).exists():
            raise KeyTaken(f"The agent has a secret {name!r} already.", pointer="/name", hint="Change that one.")
        return operations.set_secret(actor=self.actor, agent=agent, name=name, given=definition)[0]


def _delete(actor: Actor, secret: Secret) -> SafeString:
    operations.delete_secret(actor=actor, secret=secret)
    return format_html("{} is deleted.", secret.name)


@admin.register(Secret)
class SecretAdmin(OperationAdmin):
    form = SecretForm
    list_display = ("name", "agent", "tool_names", "host_names", "key_id", "changed")
    list_select_related = ("agent",)
    search_fields = ("name", "agent__name")
    ordering = ("name", "id")
    autocomplete_fields = ("agent",)
    fieldsets = ((None, {"fields": ("agent", "name", "value", "tools", "hosts")}),)
    change_form_outer_before_template = "console/secret_before.html"
    changed = exact_time("updated_at", "changed")
    deeds = (
        Deed(
            name="delete",
            label="Delete",
            permission="pipelines.delete_secret",
            perform=_delete,
            confirm="Delete this secret? Steps that name it fail from then on.",
            is_danger=True,
            removes=True,
        ),
    )

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Not by Django's own page, which knows no operations: deleting is a deed."""
        return False

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).defer("ciphertext")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("agent",) if obj else ()

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        secret = self.get_object(request, object_id)
        context = extra_context or {}
        if secret is not None:
            context |= {"secret": secret, "buttons": self.buttons(request, secret)}
        return super().change_view(request, object_id, form_url, context)  # type: ignore[no-any-return]

    @admin.display(description="tools")
    def tool_names(self, secret: Secret) -> str:
        return ", ".join(secret.tools)

    @admin.display(description="hosts")
    def host_names(self, secret: Secret) -> str:
        return ", ".join(secret.hosts) or "any"
