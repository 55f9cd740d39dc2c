"""Errors that never reach a view of the API: under /api/ they are problem documents too, elsewhere Django's pages."""

from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.views import defaults
from django.views.csrf import csrf_failure as django_csrf_failure

from scheduling.api.bodies import to_json
from scheduling.api.problems import CONTENT_TYPE, plain_response, unavailable

_API = "/api/"


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """400: an unknown host, a suspicious operation; 413 for a body that Django found too large."""
    if not _is_api(request):
        return defaults.bad_request(request, exception)
    if isinstance(exception, RequestDataTooBig):
        return plain_response(413, "body_too_large", "The body is too large.", request=request)
    return plain_response(400, "bad_request", "The request is malformed.", request=request)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    if not _is_api(request):
        return defaults.permission_denied(request, exception)
    return plain_response(403, "forbidden", "This is not allowed.", request=request)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    if not _is_api(request):
        return defaults.page_not_found(request, exception)
    hint = "GET /api/v1/schema lists every address; none ends with a slash."
    return plain_response(404, "not_found", "There is no such address.", request=request, hint=hint)


def server_error(request: HttpRequest) -> HttpResponse:
    """500; Django has logged the error with the request's id, and nothing of it is told outside."""
    if not _is_api(request):
        return defaults.server_error(request)
    detail = "Something is wrong on our side. The log has it under this request's id."
    return plain_response(500, "internal_error", detail, request=request)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    if not _is_api(request):
        return django_csrf_failure(request, reason=reason)
    return plain_response(403, "csrf_failed", "The CSRF token is missing or wrong.", request=request)


class DatabaseOutageMiddleware:
    """503 with Retry-After for a database that is away, wherever in a request it is missed: the session, a page.

    The views of the API answer so by themselves; this is for what runs before them and beside them.
    """

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response: HttpResponse = self.get_response(request)
        return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if not isinstance(exception, OperationalError | InterfaceError):
            return None
        if _is_api(request):
            response = HttpResponse(to_json(unavailable(request)), status=503, content_type=CONTENT_TYPE)
        else:
            text = "The database does not answer right now. Reload in a moment.\n"
            response = HttpResponse(text, status=503, content_type="text/plain; charset=utf-8")
        response["Retry-After"] = "5"
        return response


def _is_api(request: HttpRequest) -> bool:
    return request.path.startswith(_API)
