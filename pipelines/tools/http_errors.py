"""How the failures of an HTTP exchange become pipeline errors; the contract is in the pipeline language, "Errors".

Details name the method, the host and the status. Headers, queries and the userinfo of a URL never show.
"""

import email.utils
import ssl
from datetime import UTC, datetime

import httpcore2
import httpx2

from pipelines.errors import ErrorClass, PipelineError

_TRANSIENT_STATUSES = frozenset({408, 425, 429})
_LONGEST_SECONDS_DIGITS = 9


def target(method: str, url: httpx2.URL) -> str:
    """A request as errors and logs name it: `GET example.org`."""
    return f"{method} {url.host}"


def status_error(what: str, status: int, headers: httpx2.Headers, *, now: datetime) -> PipelineError:
    """The error for an answer that is no success: 408, 425, 429 and 5xx transient, everything else permanent."""
    is_transient = status in _TRANSIENT_STATUSES or status >= 500
    return PipelineError(
        f"http_{status}",
        ErrorClass.TRANSIENT if is_transient else ErrorClass.PERMANENT,
        f"{what} answered with status {status}",
        retry_after=retry_after(headers.get("retry-after"), now=now) if is_transient else None,
        cause={"status": status},
    )


def transport_error(what: str, error: Exception) -> PipelineError:
    """The error for a failure below the answer: connection, TLS, protocol, decoding."""
    if isinstance(error, httpcore2.TimeoutException):
        return PipelineError("timeout", ErrorClass.TIMEOUT, f"{what} did not answer in time")
    if _has_cause(error, ssl.SSLCertVerificationError):
        return PipelineError("certificate_refused", ErrorClass.PERMANENT, f"{what}: the TLS certificate is not trusted")
    if isinstance(error, httpcore2.LocalProtocolError):
        return PipelineError("bad_argument", ErrorClass.VALIDATION, f"{what}: the request is not valid HTTP")
    if isinstance(error, httpx2.DecodingError):
        return PipelineError("bad_response", ErrorClass.PERMANENT, f"{what}: the answer's compression is broken")
    kind = "connection failed" if isinstance(error, httpcore2.ConnectError) else "connection broke off"
    return PipelineError("connection_failed", ErrorClass.TRANSIENT, f"{what}: the {kind}")


def retry_after(value: str | None, *, now: datetime) -> float | None:
    """Seconds from a Retry-After header, which holds seconds or an HTTP date; None where it is absent or neither."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit() and len(text) <= _LONGEST_SECONDS_DIGITS:
        return float(text)
    try:
        at = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, (at.replace(tzinfo=at.tzinfo or UTC) - now).total_seconds())


def _has_cause(error: BaseException, kind: type[BaseException]) -> bool:
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, kind):
            return True
        seen = seen.__cause__ or seen.__context__
    return False
