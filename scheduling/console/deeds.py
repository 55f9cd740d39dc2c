"""Deeds: what an operator can do to objects, as buttons on their page and as actions of their list.

A deed calls one operation and says what it did. It is a POST with the permission checked where it is carried out, not
only where the button is drawn (the theme's own buttons are links, which a foreign page could follow). What an operation
refuses is a message, and in a list the others go on.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST

from scheduling.audit.operations import Actor
from scheduling.console.listing import ConsoleAdmin, change_url, list_url
from scheduling.errors import SchedulingError

_MOST_AT_ONCE = 500
_REFUSALS_SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """`perform` carries it out and says what it did, in words or markup. `is_offered` tells whether it makes sense now;
    the operation decides for itself. `confirm` is asked before it, where it cannot be undone. `removes`: the object has
    no page afterwards."""

    name: str
    label: str
    permission: str
    perform: Callable[[Actor, Any], str | SafeString]
    is_offered: Callable[[Any], bool] = lambda _obj: True
    confirm: str = ""
    is_danger: bool = False
    in_lists: bool = True
    removes: bool = False


@dataclass(frozen=True, slots=True)
class Button:
    """A deed that is offered to this operator for this object."""

    url: str
    label: str
    confirm: str
    is_danger: bool


class DeedsAdmin(ConsoleAdmin):
    """An admin whose objects have deeds."""

    deeds: Sequence[Deed] = ()

    def get_urls(self) -> list[URLPattern]:
        carry_out = self.admin_site.admin_view(require_POST(self.deed_view))
        return [path("<path:object_id>/do/<slug:name>/", carry_out, name=self._deed_url_name()), *super().get_urls()]

    def buttons(self, request: HttpRequest, obj: Any) -> list[Button]:
        """What this operator may do to this object now."""
        return [
            Button(
                url=reverse(f"admin:{self._deed_url_name()}", args=[obj.pk, deed.name]),
                label=deed.label,
                confirm=deed.confirm,
                is_danger=deed.is_danger,
            )
            for deed in self.deeds
            if request.user.has_perm(deed.permission) and deed.is_offered(obj)
        ]

    def deed_view(self, request: HttpRequest, object_id: str, name: str) -> HttpResponse:
        """Carry out one deed, say what it did, and show the object again. 403 without its permission."""
        deed = next((deed for deed in self.deeds if deed.name == name), None)
        if deed is None:
            raise Http404(f"there is no deed {name!r}")
        if not request.user.has_perm(deed.permission):
            raise PermissionDenied
        obj = self.get_object(request, object_id)
        if obj is None:
            raise Http404
        try:
            self.message_user(request, deed.perform(actor_of(request), obj), messages.SUCCESS)
        except SchedulingError as refusal:
            self.message_user(request, refusal_words(refusal), messages.ERROR)
            return HttpResponseRedirect(change_url(obj))
        return HttpResponseRedirect(list_url(self.model) if deed.removes else change_url(obj))

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        offered = super().get_actions(request)
        for deed in self.deeds:
            if deed.in_lists and request.user.has_perm(deed.permission):
                offered[deed.name] = (_list_action(deed), deed.name, f"{deed.label} selected")
        return offered

    def _deed_url_name(self) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_deed"


def actor_of(request: HttpRequest) -> Actor:
    """The operator who sends this request, as the audit trail names them."""
    assert request.user.is_authenticated
    return Actor.of_operator(request.user, request)


def refusal_words(refusal: SchedulingError) -> str:
    """Why it was refused and what would help, in one line."""
    return f"{refusal.detail} {refusal.hint}" if refusal.hint else refusal.detail


def do_to_all(request: HttpRequest, deed: Deed, rows: Sequence[Any]) -> list[tuple[int, str | SafeString]]:
    """Carry out `deed` on each of `rows`: the messages to show, each with its level. A refusal stops no other."""
    actor = actor_of(request)
    done: list[str | SafeString] = []
    refused: list[SafeString] = []
    for row in rows:
        try:
            done.append(deed.perform(actor, row))
        except SchedulingError as refusal:
            refused.append(format_html("{}: {}", row, refusal_words(refusal)))
    found: list[tuple[int, str | SafeString]] = []
    if len(done) == 1:
        found.append((messages.SUCCESS, done[0]))
    elif done:
        found.append((messages.SUCCESS, f"{deed.label}: done for {len(done)}."))
    if refused:
        found.append((messages.ERROR, f"{deed.label}: refused for {len(refused)}."))
        found.extend((messages.WARNING, words) for words in refused[:_REFUSALS_SHOWN])
    return found


def _list_action(deed: Deed) -> Callable[[Any, HttpRequest, Any], None]:
    def carry_out(admin: Any, request: HttpRequest, rows: Any) -> None:
        chosen = list(rows[: _MOST_AT_ONCE + 1])
        if len(chosen) > _MOST_AT_ONCE:
            admin.message_user(request, f"Choose at most {_MOST_AT_ONCE} at once. Nothing was done.", messages.ERROR)
            return
        for level, words in do_to_all(request, deed, chosen):
            admin.message_user(request, words, level)

    carry_out.__name__ = deed.name
    carry_out.short_description = f"{deed.label} selected"  # type: ignore[attr-defined]
    return carry_out
