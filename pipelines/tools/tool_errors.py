"""What an exception of a tool becomes, in a worker and in an isolated process alike, and how it crosses the pipe."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from pipelines.errors import ErrorClass, PipelineError
from pipelines.tools.plain_text import message_of, neutralised
from pipelines.tools.storable_errors import LONGEST_DETAIL, storable_error, told_by

_LONGEST_MESSAGE = 500


def from_exception(name: str, error: BaseException, *, longest: int = LONGEST_DETAIL) -> PipelineError:
    """The pipeline error for whatever the tool `name` raised, which can be stored; see `storable_error`.

    An exception that is no PipelineError, or one whose fields cannot be read, is a fault of the tool: code
    `tool_error`, class `internal`, not retried by default. The detail has its type and message, the traceback belongs
    in the log. A CancelledError is the tool's own: whoever knows of one from outside lets it pass.
    """
    return told_by(error, longest=longest) or storable_error(_of_other(name, error))


def _of_other(name: str, error: BaseException) -> PipelineError:
    if isinstance(error, asyncio.CancelledError):
        return PipelineError(
            "canceled_by_tool",
            ErrorClass.PERMANENT,
            f"{name} canceled its own task, or what it waited for was canceled; nobody has canceled the run. "
            "A tool that gives up raises an exception instead",
        )
    if isinstance(error, TimeoutError):
        return PipelineError("timeout", ErrorClass.TIMEOUT, f"{name} waited in vain for something outside")
    if isinstance(error, MemoryError):
        return PipelineError("out_of_memory", ErrorClass.LIMIT, f"{name} needed more memory than a tool may have")
    message = neutralised(message_of(error), limit=_LONGEST_MESSAGE)
    return PipelineError("tool_error", ErrorClass.INTERNAL, f"{name} raised {type(error).__name__}: {message}")


def timed_out(name: str, timeout: timedelta) -> PipelineError:
    return PipelineError(
        "timeout", ErrorClass.TIMEOUT, f"{name} took longer than {timeout.total_seconds():g} seconds and was stopped"
    )


def bad_result(name: str, reason: str) -> PipelineError:
    """The tool returned what is no JSON value: class `validation`, as a breach of its output schema is."""
    return PipelineError(
        "bad_result", ErrorClass.VALIDATION, f"the result of {name} is not JSON: {neutralised(reason, limit=200)}"
    )


def result_too_large(name: str) -> PipelineError:
    return PipelineError("result_too_large", ErrorClass.LIMIT, f"the result of {name} is larger than 16 MB")


def as_fields(error: PipelineError) -> dict[str, Any]:
    """What of a storable error a frame carries; step, attempt and pointer are the engine's to fill in."""
    return {
        "code": error.code,
        "class": str(error.error_class),
        "detail": error.detail,
        "retry_after": error.retry_after,
        "cause": dict(error.cause) if error.cause is not None else None,
    }


def from_fields(fields: Mapping[str, Any]) -> PipelineError:
    """The error of a frame, storable here: the process of the tool knows no secrets, and cuts later."""
    return storable_error(
        PipelineError(
            str(fields["code"]),
            ErrorClass(fields["class"]),
            str(fields["detail"]),
            retry_after=fields["retry_after"],
            cause=fields["cause"],
        )
    )
