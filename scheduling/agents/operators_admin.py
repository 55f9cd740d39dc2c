"""The operators of the console: people, each with one role."""

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import Group
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.safestring import SafeString
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminSelectWidget

from scheduling.agents.models import Operator
from scheduling.agents.roles import Role, assign, role_of
from scheduling.audit.operations import record
from scheduling.console.badges import badge
from scheduling.console.deeds import actor_of
from scheduling.console.listing import ConsoleAdmin, exact_time


class _RoleField(forms.ChoiceField):
    def __init__(self) -> None:
        super().__init__(
            choices=[(role.value, role.label) for role in Role],
            widget=UnfoldAdminSelectWidget,
            initial=Role.VIEWER.value,
            help_text="Viewer sees; operator also runs, pauses and cancels; author also writes tasks; admin does all.",
        )


class OperatorAddForm(UserCreationForm):
    role = _RoleField()

    class Meta(UserCreationForm.Meta):
        model = Operator
        fields = ("username",)


class OperatorChangeForm(UserChangeForm):
    role = _RoleField()

    class Meta(UserChangeForm.Meta):
        model = Operator
        fields = ("username", "password", "first_name", "last_name", "email", "is_active")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk and "role" in self.fields:
            self.fields["role"].initial = role_of(self.instance)


@admin.register(Operator)
class OperatorAdmin(UserAdmin, ConsoleAdmin):  # type: ignore[misc, type-arg]
    """People of the console. One role each, in place of Django's lists of groups and permissions."""

    form = OperatorChangeForm
    add_form = OperatorAddForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "role", "email", "is_active", "last_seen")
    list_filter = ("is_active", "groups")
    filter_horizontal = ()
    fieldsets = (
        (None, {"fields": ("username", "password", "role", "is_active")}),
        ("Person", {"fields": ("first_name", "last_name", "email")}),
    )
    add_fieldsets = ((None, {"fields": ("username", "password1", "password2", "role")}),)
    last_seen = exact_time("last_login", "last log-in")

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).prefetch_related("groups")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never: the audit trail names them. Deactivate them."""
        return False

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: Any) -> None:
        before = {"role": role_of(obj), "is_active": form.initial.get("is_active")} if change else None
        obj.is_staff = True
        super().save_model(request, obj, form, change)
        role = form.cleaned_data.get("role")
        if role:
            assign(obj, Role(role))
        record(
            actor=actor_of(request),
            action="operator.update" if change else "operator.create",
            target=obj,
            before=before,
            after={"username": obj.username, "role": role, "is_active": obj.is_active, "changed": form.changed_data},
        )

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: Any) -> None:
        """The role has set the groups."""

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:  # noqa: A002
        answer = super().user_change_password(request, id, form_url)
        if request.method == "POST" and answer.status_code == HttpResponseRedirect.status_code:
            changed = self.get_object(request, id)
            assert changed is not None
            record(actor=actor_of(request), action="operator.set_password", target=changed)
        return answer

    @admin.display(description="role")
    def role(self, operator: Operator) -> SafeString | str:
        role = role_of(operator)
        return badge(role.value) if role else badge("no role")


admin.site.unregister(Group)
