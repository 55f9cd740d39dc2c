"""How the failures of a mail delivery become pipeline errors. Server texts are cut and neutralised, never trusted."""

from smtplib import (
    SMTPException,
    SMTPNotSupportedError,
    SMTPRecipientsRefused,
    SMTPResponseException,
    SMTPServerDisconnected,
)

from pipelines.errors import ErrorClass, PipelineError
from pipelines.tools.plain_text import neutralised

_LONGEST_REPLY = 200


def delivery_error(error: Exception) -> PipelineError:
    """SMTP 4xx and a failing connection are transient, 5xx permanent, a silent server a time-out."""
    if isinstance(error, SMTPRecipientsRefused):
        return _recipients_refused(error)
    if isinstance(error, SMTPResponseException):
        return _reply_error(error.smtp_code, error.smtp_error)
    if isinstance(error, SMTPNotSupportedError):
        return PipelineError("mail_refused", ErrorClass.PERMANENT, f"the mail server cannot do this: {error}")
    if _is_timeout(error):
        return PipelineError("timeout", ErrorClass.TIMEOUT, "the mail server did not answer in time")
    # smtplib's own errors are OSErrors too; only one of them is about the connection.
    if isinstance(error, SMTPException) and not isinstance(error, SMTPServerDisconnected):
        return PipelineError("mail_failed", ErrorClass.INTERNAL, f"the mail could not be sent ({type(error).__name__})")
    return PipelineError("connection_failed", ErrorClass.TRANSIENT, "the connection to the mail server failed")


def _recipients_refused(error: SMTPRecipientsRefused) -> PipelineError:
    replies = [reply for _, reply in sorted(error.recipients.items())]
    # One address that may be taken later makes another try worth while.
    code, text = min(replies, key=lambda reply: reply[0])
    return _reply_error(code, text)


def _reply_error(code: int, reply: bytes | str) -> PipelineError:
    text = reply.decode(errors="replace") if isinstance(reply, bytes) else reply
    is_transient = not 500 <= code < 600
    return PipelineError(
        "mail_deferred" if is_transient else "mail_refused",
        ErrorClass.TRANSIENT if is_transient else ErrorClass.PERMANENT,
        f"the mail server answered {code}: {neutralised(text, limit=_LONGEST_REPLY)}",
        cause={"smtp_code": code},
    )


def _is_timeout(error: BaseException) -> bool:
    """smtplib reports a time-out while reading as a disconnection; its context tells them apart."""
    return isinstance(error, TimeoutError) or isinstance(error.__context__, TimeoutError)
