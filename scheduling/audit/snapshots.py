"""An object as the audit trail shows it: its own columns as JSON values, without secrets."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import models
from django.utils.duration import duration_iso_string

_NEVER_SHOWN = frozenset({"password", "digest", "ciphertext"})


def snapshot(instance: models.Model, *, leave_out: frozenset[str] = frozenset()) -> dict[str, Any]:
    """Every column by its attribute name (`agent_id`, not `agent`), except secrets and those left out."""
    return {
        field.attname: _json_value(field.value_from_object(instance))
        for field in instance._meta.concrete_fields
        if field.name not in _NEVER_SHOWN and field.name not in leave_out
    }


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The entries of both snapshots that are not the same."""
    changed = [name for name in after if before.get(name) != after[name]]
    return {name: before.get(name) for name in changed}, {name: after[name] for name in changed}


def _json_value(value: Any) -> Any:
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, timedelta):
        return duration_iso_string(value)
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, bytes | memoryview):
        return f"{len(value)} bytes"
    if isinstance(value, list | tuple):
        return [_json_value(item) for item in value]
    return value
