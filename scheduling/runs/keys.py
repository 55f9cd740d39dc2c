"""The keys of a start: concurrency and deduplication keys may be templates over the run's params."""

import hashlib
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from scheduling.errors import NotValid
from scheduling.ports import pipeline_port

_LONGEST = 300


def rendered(template: str, params: Mapping[str, Any]) -> str:
    """A plain text stands for itself; `${...}` sees `params`. Raises NotValid where these params give no key."""
    if "${" not in template:
        return template
    try:
        key = pipeline_port().render(template, {"params": params})
    except ValueError as error:
        raise NotValid.at(
            "/params", "key_not_rendered", f"The key {template!r} cannot be rendered: {error}."
        ) from error
    if not isinstance(key, str | int | float):
        shown = "null" if key is None else "no text"
        raise NotValid.at("/params", "key_not_rendered", f"The key {template!r} is {shown} for these params.")
    return _fitting(str(key))


def concurrency_key(agent_id: UUID, template: str, params: Mapping[str, Any]) -> str:
    """Keys are kept apart by agent: one must not be able to hold up another by using its words."""
    return _fitting(f"{agent_id}:{rendered(template, params)}")


def _fitting(key: str) -> str:
    """A key of which a column takes no more: its beginning, and a digest of the whole, so that two that differ in the
    end alone stay two."""
    if len(key) <= _LONGEST:
        return key
    digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{key[: _LONGEST - len(digest) - 1]}~{digest}"
