"""The content security policy: our own host everywhere, and `eval` for the console alone.

The console's Alpine compiles the expressions in its markup with `new Function`, which is `eval` to a browser. Nothing
else needs it, so nothing else gets it. Styles and scripts are files of ours in the console too: no inline exception.
"""

from csp.constants import UNSAFE_EVAL
from csp.middleware import CSPMiddleware, PolicyParts
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import reverse


class OrdinautCSPMiddleware(CSPMiddleware):
    def get_policy_parts(
        self, request: HttpRequest, response: HttpResponseBase, report_only: bool = False
    ) -> PolicyParts:
        parts = super().get_policy_parts(request, response, report_only)
        if request.path_info.startswith(reverse("admin:index")):
            parts.update = {**(parts.update or {}), "script-src": [UNSAFE_EVAL]}
        return parts
