"""What commands about documents take: a file, or JSON on the command line."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
from django.core.management.base import CommandError

from pipelines.document import parse
from pipelines.expressions.durations import parse_timedelta

# An unusable argument ends like an invalid document; 1 is kept for a run that went wrong.
UNUSABLE = 2


def read_document(path: str) -> Any:
    """The document in a file. Raises CommandError where it cannot be read, DocumentInvalid for what it holds."""
    try:
        return parse(Path(path).read_bytes())
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}", returncode=UNUSABLE) from error


def read_object(text: str | None, option: str) -> dict[str, Any] | None:
    """The JSON object in `text`. Raises CommandError that names `option`."""
    if text is None:
        return None
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise CommandError(f"{option}: this is not JSON: {error}", returncode=UNUSABLE) from error
    if not isinstance(value, dict):
        raise CommandError(f"{option}: a JSON object is expected", returncode=UNUSABLE)
    return value


def read_duration(text: str | None, option: str) -> timedelta | None:
    """The ISO 8601 duration in `text`. Raises CommandError that names `option`."""
    if text is None:
        return None
    try:
        return parse_timedelta(text)
    except (ValueError, OverflowError) as error:
        raise CommandError(f"{option}: {error}", returncode=UNUSABLE) from error
