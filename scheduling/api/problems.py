"""Errors as problem documents (RFC 9457): one shape for everything that goes wrong under /api/."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from django.core.exceptions import ObjectDoesNotExist, PermissionDenied
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from rest_framework import exceptions
from rest_framework.response import Response

from scheduling.api.bodies import to_json
from scheduling.definitions.strict import problems_in
from scheduling.errors import Conflict, NotValid, SchedulingError

CONTENT_TYPE = "application/problem+json"
_NO_DATABASE_RETRY = "5"  # seconds

_CODES = {"parse_error": "malformed_json", "permission_denied": "forbidden", "error": "refused"}
_HINTS = {
    "not_authenticated": "Send an agent's token: Authorization: Bearer ord_…",
    "invalid_token": "Issue another with `manage.py createagent`, or in the console.",
    "unsupported_media_type": "Send application/json; a pipeline may be YAML text inside of it.",
    "not_acceptable": "Answers are application/json.",
    "body_too_large": "A body has at most 1 MiB.",
    "too_deep": "No document needs so many levels: is it generated?",
}


def document(
    status: int,
    code: str,
    detail: str,
    *,
    request: HttpRequest | None = None,
    hint: str | None = None,
    errors: Sequence[Mapping[str, Any]] = (),
    allowed_actions: Sequence[str] | None = None,
) -> dict[str, Any]:
    """The members of a problem document; those that say nothing are left out."""
    body: dict[str, Any] = {
        "type": f"urn:ordinaut:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
    }
    if request is not None:
        body["instance"] = request.path[:500]
        body["request_id"] = request.META.get("ordinaut.request_id", "")
    if hint or code in _HINTS:
        body["hint"] = hint or _HINTS[code]
    if errors:
        body["errors"] = list(errors)
    if allowed_actions is not None:
        body["allowed_actions"] = list(allowed_actions)
    return body


def plain_response(status: int, code: str, detail: str, *, request: HttpRequest, **more: Any) -> HttpResponse:
    """A problem for errors that never reach a view of DRF."""
    body = to_json(document(status, code, detail, request=request, **more))
    return HttpResponse(body, status=status, content_type=CONTENT_TYPE)


def exception_handler(error: Exception, context: Mapping[str, Any]) -> Response | None:
    """DRF's hook: the answer to an error; None for an error of ours, which Django logs and answers with 500."""
    request: HttpRequest = context["request"]._request
    headers: dict[str, str] = {}
    if isinstance(error, SchedulingError):
        body = _of_refusal(error, request)
        headers = {"Retry-After": str(error.retry_after)} if error.retry_after else {}
    elif isinstance(error, Http404 | ObjectDoesNotExist):
        body = document(404, "not_found", "There is no such object here.", request=request)
    elif isinstance(error, PermissionDenied):
        body = document(403, "forbidden", "This is not allowed.", request=request)
    elif isinstance(error, exceptions.ValidationError):
        body = _of_refusal(NotValid.because(problems_in(error.detail)), request)
    elif isinstance(error, exceptions.APIException):
        body = _of_api_exception(error, request)
        headers = _headers_of(error)
    elif isinstance(error, OperationalError | InterfaceError):
        body = unavailable(request)
        headers = {"Retry-After": _NO_DATABASE_RETRY}
    else:
        return None
    return Response(body, status=body["status"], headers=headers, content_type=CONTENT_TYPE)


def unavailable(request: HttpRequest) -> dict[str, Any]:
    """The database is away, or gave up on a statement: the request has had no effect that its answer would tell."""
    return document(
        503,
        "database_unavailable",
        "The database does not answer right now.",
        request=request,
        hint="Send it again later, with an Idempotency-Key where it changes something.",
    )


def _of_refusal(error: SchedulingError, request: HttpRequest) -> dict[str, Any]:
    problems = [problem.as_dict() for problem in error.problems]
    if not problems and error.pointer:
        problems = [{"pointer": error.pointer, "code": error.code, "detail": error.detail}]
    return document(
        error.status,
        error.code,
        error.detail,
        request=request,
        hint=error.hint,
        errors=problems,
        allowed_actions=error.allowed_actions if isinstance(error, Conflict) else None,
    )


def _of_api_exception(error: exceptions.APIException, request: HttpRequest) -> dict[str, Any]:
    code = error.get_codes()
    text = code if isinstance(code, str) else "refused"
    return document(error.status_code, _CODES.get(text, text), str(error.detail), request=request)


def _headers_of(error: exceptions.APIException) -> dict[str, str]:
    headers = {}
    challenge = getattr(error, "auth_header", None)
    if challenge:
        headers["WWW-Authenticate"] = challenge
    wait = getattr(error, "wait", None)
    if wait is not None:
        headers["Retry-After"] = str(max(1, int(wait) + (wait % 1 > 0)))
    return headers
