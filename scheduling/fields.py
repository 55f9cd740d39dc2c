"""Model fields that Django lacks."""

from datetime import datetime
from typing import Any

import orjson
from django.core.exceptions import ValidationError
from django.db import models
from django.utils.dateparse import parse_datetime


class JSONBytesField(models.BinaryField):  # type: ignore[type-arg]
    """A JSON value kept as the bytes of its text, so that it comes back exactly as it was written.

    jsonb reorders keys and rewrites numbers, so a resumed run would see another value than the one that was
    journaled, and it costs several times as much at 16 KB. Such columns are STORAGE EXTERNAL (set in migrations):
    results are seldom read in part and compressing them costs more than it saves. SQL cannot look inside.
    """

    description = "JSON text as bytes"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("editable", True)
        super().__init__(*args, **kwargs)

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:
        if value is None or isinstance(value, bytes):
            return value
        return orjson.dumps(value)

    def from_db_value(self, value: Any, _expression: Any, _connection: Any) -> Any:
        return None if value is None else orjson.loads(bytes(value))

    def to_python(self, value: Any) -> Any:
        return value

    def get_default(self) -> Any:
        return self._get_default()  # type: ignore[attr-defined]  # BinaryField would make bytes of it

    def value_to_string(self, obj: models.Model) -> str:
        return orjson.dumps(self.value_from_object(obj)).decode()


class LocalDateTimeField(models.DateTimeField):  # type: ignore[type-arg]
    """A wall-clock time without a zone, such as the anchor of a schedule: naive in Python and in the database."""

    description = "Local date and time"

    def db_type(self, connection: Any) -> str:
        return "timestamp without time zone"

    def to_python(self, value: Any) -> datetime | None:
        if value is None or isinstance(value, datetime):
            parsed = value
        else:
            parsed = parse_datetime(str(value))
            if parsed is None:
                raise ValidationError(f"{value!r} is no local date and time like 2026-03-29T08:30:00")
        if parsed is not None and parsed.tzinfo is not None:
            raise ValidationError("a local date and time carries no offset; the zone is a field of its own")
        return parsed

    def get_prep_value(self, value: Any) -> Any:
        return self.to_python(value)

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:
        return self.to_python(value)

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        return models.Field.pre_save(self, model_instance, add)


class AllReadable(models.Func):
    """True where each of a list of local times is one that Python has in every zone: a year from 2 to 9999, no NULL."""

    template = (
        "(array_position(%(expressions)s, NULL) IS NULL AND '0002-01-01'::timestamp <= ALL (%(expressions)s)"
        " AND '9999-12-31'::timestamp >= ALL (%(expressions)s))"
    )
    output_field = models.BooleanField()
