"""Structured logs: one JSON object a line on standard error, for our loggers and for every library's.

Tracebacks carry no local variables: they would leak secrets (structlog's dict tracebacks do by default). What is logged
during the call of a tool that was given secrets has none of them.
"""

import logging.config
from typing import Any

import orjson
import structlog
from structlog.typing import Processor

from pipelines.secrets.redaction import redact_log
from pipelines.tools.plain_text import with_storable_texts


def _shared_processors() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]


def _json_line(event: Any, **_: Any) -> str:
    """One line of JSON; a value that JSON lacks is written as its text, line breaks stay escaped, U+FFFD stands for
    each half of a surrogate pair."""
    try:
        return orjson.dumps(event, default=repr, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:
        storable = with_storable_texts(event)
        return orjson.dumps(storable, default=repr, option=orjson.OPT_NON_STR_KEYS).decode()


def logging_settings(*, level: str, form: str) -> dict[str, Any]:
    """Return the `dictConfig` for a level and a form (`json` or `console`) and set up structlog to feed it."""
    tracebacks: Processor
    renderer: Processor
    if form == "json":
        tracebacks = structlog.processors.ExceptionRenderer(
            structlog.tracebacks.ExceptionDictTransformer(show_locals=False, max_frames=20)
        )
        renderer = structlog.processors.JSONRenderer(serializer=_json_line)
    else:
        tracebacks = structlog.processors.format_exc_info
        renderer = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    settings: dict[str, Any] = {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "structured": {
                "()": structlog.stdlib.ProcessorFormatter,
                "foreign_pre_chain": _shared_processors(),
                "processors": [
                    structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                    tracebacks,
                    redact_log,
                    renderer,
                ],
            }
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "structured"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            # Answers of the server are in the metrics; a line a request would bury what matters.
            "uvicorn.access": {"level": "WARNING"},
            "httpx2": {"level": "WARNING"},
            # A line for each session, and for each notice of a server that nobody here reads.
            "mcp": {"level": "ERROR"},
            "apscheduler": {"level": "WARNING"},
        },
    }
    structlog.configure(
        processors=[*_shared_processors(), structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    logging.config.dictConfig(settings)
    return settings
