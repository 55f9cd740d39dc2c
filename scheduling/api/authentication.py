"""Bearer tokens first, so that a missing token is 401 with a challenge; sessions of operators second."""

from django.http import HttpRequest
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from scheduling.agents.models import AgentToken, Operator
from scheduling.agents.selectors import authenticate
from scheduling.api.principal import AgentPrincipal, OperatorPrincipal


class BearerAuthentication(BaseAuthentication):
    """`Authorization: Bearer ord_…`. Every bad token gets the same answer, whatever is wrong with it."""

    def authenticate(self, request: Request) -> tuple[AgentPrincipal, AgentToken] | None:
        header = request.META.get("HTTP_AUTHORIZATION", "")
        scheme, _, text = header.partition(" ")
        if scheme.lower() != "bearer":
            return None
        # Expiry is judged by this host's clock: a query a request for the database's would cost more than it gives.
        token = authenticate(text.strip(), timezone.now())
        if token is None:
            raise AuthenticationFailed("The token is not valid: unknown, expired or revoked.", code="invalid_token")
        return AgentPrincipal(token), token

    def authenticate_header(self, request: Request) -> str:
        given = bool(request.META.get("HTTP_AUTHORIZATION"))
        return 'Bearer realm="ordinaut"' + (', error="invalid_token"' if given else "")


class OperatorSession(SessionAuthentication):
    """The console's session; a request that changes something must bring the CSRF token."""

    def authenticate(self, request: Request) -> tuple[OperatorPrincipal, None] | None:
        underlying: HttpRequest = request._request
        user = getattr(underlying, "user", None)
        if not isinstance(user, Operator) or not user.is_active:
            return None
        self.enforce_csrf(request)
        return OperatorPrincipal(user), None
