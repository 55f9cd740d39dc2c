"""Addresses with a NUL (%00), refused before anything of the console reads them.

No id, filter or search can hold one: PostgreSQL stores none, and its driver raises wherever one gets to, which is in
more places than could be watched one by one. The API refuses it by the parameter's name, and forms on their fields.
"""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest
from django.urls import reverse

_WORDS = "The address holds a NUL character (%00), which nothing here can hold. Remove it and try again.\n"


class NoNulMiddleware:
    """400 for a NUL in the path or in a parameter of the console."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path_info.startswith(reverse("admin:index")) and _holds_nul(request):
            return HttpResponseBadRequest(_WORDS, content_type="text/plain; charset=utf-8")
        return self.get_response(request)


def _holds_nul(request: HttpRequest) -> bool:
    given = (text for name, values in request.GET.lists() for text in (name, *values))
    return "\x00" in request.path_info or any("\x00" in text for text in given)
