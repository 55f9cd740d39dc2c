"""Lists that stay quick over millions of rows, and pages of rows that only the engine writes."""

from collections.abc import Callable
from datetime import datetime
from functools import cached_property
from typing import Any, ClassVar
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.admin import ShowFacets
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ERROR_FLAG
from django.contrib.admin.widgets import AutocompleteSelect
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db import DataError, models
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from unfold.admin import ModelAdmin
from unfold.views import ChangeList

from scheduling.console.code import json_block
from scheduling.console.words import NOTHING, moment
from scheduling.fields import JSONBytesField

_COUNTED_AT_MOST = 10_000
_NO_NUL = "Null characters are not allowed: nothing here can store them. Remove the character."
# What a filter raises only when it is carried out: no regular expression, no array, a year past every end.
_NO_LOOKUP = (DataError, OverflowError, TypeError, ValueError, ValidationError)


class CappedPaginator(Paginator):  # type: ignore[type-arg]
    """Counts no further than ten thousand rows: nobody pages further, and counting a million costs a second."""

    @cached_property
    def count(self) -> int:
        rows = self.object_list
        if not isinstance(rows, models.QuerySet):
            return len(rows)
        capped = rows.order_by().values("pk")[:_COUNTED_AT_MOST]
        return int(models.QuerySet.count(capped))


class ConsoleList(ChangeList):
    """A list that does not announce "1410 results, show all" where nothing was left out."""

    def get_results(self, request: HttpRequest) -> None:
        try:
            super().get_results(request)
        except _NO_LOOKUP as error:
            if not request.GET:
                raise  # nothing was asked for, so that the fault is ours
            raise IncorrectLookupParameters(error) from error
        if not self.query and not self.has_active_filters:
            self.full_result_count = self.result_count


class IdSelect(AutocompleteSelect):
    """Shows nothing chosen for an id that is none, for which Django asks the database all the same."""

    def optgroups(self, name: str, value: Any, attr: Any = None) -> Any:
        try:
            return super().optgroups(name, value, attr)
        except ValidationError:
            return super().optgroups(name, [], attr)


def _filtered_by(entry: Any) -> str:
    """The column, or the parameter of its own, of an entry of `list_filter`."""
    if isinstance(entry, type):
        return str(getattr(entry, "parameter_name", ""))
    return str(entry if isinstance(entry, str) else entry[0])


class ConsoleAdmin(ModelAdmin):
    """Every list and page of the console: capped counts, history in the audit trail, deletion never in bulk."""

    paginator = CappedPaginator
    show_full_result_count = False
    show_facets = ShowFacets.NEVER  # a count of the whole table for every choice of every filter
    list_per_page = 50
    list_fullwidth = True
    list_filter_sheet = True
    actions_on_bottom = False
    linked_by: ClassVar[tuple[str, ...]] = ()  # what pages filter this list by that link to it, beside `list_filter`

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ConsoleList]:
        return ConsoleList

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        """Only what the list offers to filter by. By any other column, such as the digest of a password, a reader could
        find out, one letter after the other, what no page shows."""
        if lookup in self.linked_by:
            return True
        offered = {_filtered_by(each) for each in self.list_filter}
        return lookup.partition("__")[0] in offered and bool(super().lookup_allowed(lookup, value, request))

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if ERROR_FLAG in request.GET:  # whereto Django leads from a list that cannot be
            words = "What the address asked for cannot be, such as an id that is none. This is the whole list."
            self.message_user(request, words, messages.WARNING)
        return super().changelist_view(request, extra_context)  # type: ignore[no-any-return]

    def response_action(self, request: HttpRequest, queryset: Any) -> HttpResponse | None:
        try:
            for key in request.POST.getlist(ACTION_CHECKBOX_NAME):
                self.opts.pk.to_python(key)
        except ValidationError:
            self.message_user(request, "One of the chosen ids is none. Nothing was done.", messages.ERROR)
            return None
        return super().response_action(request, queryset)  # type: ignore[no-any-return]

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change=change, **kwargs)
        for field in form.base_fields.values():
            field.error_messages["null_characters_not_allowed"] = _NO_NUL
        return form

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name in self.get_autocomplete_fields(request):
            kwargs.setdefault("widget", IdSelect(db_field, self.admin_site))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The object's history is its audit trail."""
        return HttpResponseRedirect(audit_url(self.model, object_id))

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        offered = super().get_actions(request)
        offered.pop("delete_selected", None)
        return dict(offered)

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> None:
        """Django's own log stays empty: operations write the audit trail."""

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> None:
        """See `log_addition`."""

    def log_deletions(self, request: HttpRequest, queryset: Any) -> None:
        """See `log_addition`."""


class ReadOnlyAdmin(ConsoleAdmin):
    """Rows of the engine: seen by who may view them, changed here by nobody, a superuser included."""

    hidden_fields: tuple[str, ...] = ()

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        return [_shown(field) for field in self.model._meta.fields if field.name not in self.hidden_fields]


class Column:
    """A read-only column or fact of an admin. An object, not a function: as a class attribute it stays unbound."""

    def __init__(self, show: Callable[[Any], Any], *, name: str, label: str, is_ordered: bool = False) -> None:
        self._show = show
        self.__name__ = name
        self.short_description = label or name.replace("_", " ")
        if is_ordered:
            self.admin_order_field = name

    def __call__(self, obj: Any) -> Any:
        return self._show(obj)


def pretty(name: str, label: str = "") -> Column:
    """A JSON value as code."""
    return Column(lambda obj: json_block(getattr(obj, name)), name=name, label=label)


def exact_time(name: str, label: str = "") -> Column:
    """An instant to the second, in UTC; a local time as such."""
    return Column(lambda obj: _moment_or_local(getattr(obj, name)), name=name, label=label, is_ordered=True)


def bare(name: str, label: str) -> Column:
    """A foreign key itself: what it points to may be gone."""
    return Column(
        lambda obj: NOTHING if getattr(obj, name) is None else str(getattr(obj, name)), name=name, label=label
    )


def _shown(field: Any) -> str | Column:
    """How a read-only page shows a field of the model."""
    label = str(field.verbose_name)
    if isinstance(field, JSONBytesField | models.JSONField):
        return pretty(field.name, label)
    if isinstance(field, models.DateTimeField):
        return exact_time(field.name, label)
    if isinstance(field, models.ForeignKey):
        return bare(field.attname, label)
    return str(field.name)


def _moment_or_local(instant: datetime | None) -> str:
    return moment(instant) if instant is None or instant.tzinfo else f"{instant:%Y-%m-%d %H:%M:%S} local"


def change_url(obj: models.Model) -> str:
    return object_url(type(obj), obj.pk)


def object_url(model: type[models.Model], key: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_change", args=[key])


def list_url(model: type[models.Model], **filters: Any) -> str:
    address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    return f"{address}?{urlencode(filters)}" if filters else address


def audit_url(model: type[models.Model], key: Any) -> str:
    """The audit trail of one object."""
    address = reverse("admin:scheduling_auditentry_changelist")
    return f"{address}?{urlencode({'object_kind': model._meta.model_name, 'object_id': key})}"
