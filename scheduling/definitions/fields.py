"""Fields that take exactly their JSON type: `"5"` is no number, `1` no truth, a time without offset no instant."""

from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.validators import RegexValidator
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from scheduling.core.recurrence import ScheduleError
from scheduling.core.recurrence.once import parse_instant
from scheduling.definitions.durations import duration_text, parse_duration
from scheduling.definitions.strict import did_you_mean, json_type, refusal

_LONGEST = timedelta(days=3660)


class Text(serializers.CharField):
    """A string as it is written; nothing is trimmed."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("trim_whitespace", False)
        super().__init__(**options)

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            raise refusal("wrong_type", f"This must be a string, not {json_type(data)}.")
        return super().to_internal_value(data)


class Slug(Text):
    """A name of letters, digits, hyphens and underscores, as it stands in addresses and labels."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        message = "Only letters, digits, hyphens and underscores are allowed here."
        self.validators.append(RegexValidator(r"^[-a-zA-Z0-9_]+\Z", message, code="invalid_slug"))


class Number(serializers.IntegerField):
    """A whole number."""

    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, bool) or not isinstance(data, int):
            raise refusal("wrong_type", f"This must be a whole number, not {json_type(data)}.")
        return data


class Real(serializers.FloatField):
    """A number."""

    def to_internal_value(self, data: Any) -> float:
        if isinstance(data, bool) or not isinstance(data, int | float):
            raise refusal("wrong_type", f"This must be a number, not {json_type(data)}.")
        return float(data)


class Truth(serializers.BooleanField):
    """true or false."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            raise refusal("wrong_type", f"This must be true or false, not {json_type(data)}.")
        return data


class Choice(serializers.ChoiceField):
    """One of a few words."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, str) and (data in self.choices or (data == "" and self.allow_blank)):
            return data
        known = [str(word) for word in self.choices]
        shown = repr(data[:80]) if isinstance(data, str) else json_type(data)
        hint = did_you_mean(data, known) if isinstance(data, str) else None
        raise refusal("unknown_choice", f"This must be one of {', '.join(known)}, not {shown}.", hint=hint)


@extend_schema_field({"type": "string", "format": "duration", "example": "PT30M"})
class Duration(serializers.Field[timedelta, Any, str, Any]):
    """An ISO 8601 duration of at least `minimum` and at most ten years."""

    def __init__(self, *, minimum: timedelta = timedelta(0), **options: Any) -> None:
        self.minimum = minimum
        super().__init__(**options)

    def to_internal_value(self, data: Any) -> timedelta:
        if not isinstance(data, str):
            hint = 'Write "PT30S" for thirty seconds, "PT5M" for five minutes, "P1D" for a day.'
            raise refusal("wrong_type", f"This must be an ISO 8601 duration, not {json_type(data)}.", hint=hint)
        try:
            value = parse_duration(data)
        except ValueError as error:
            hint = 'Examples: "PT30S", "PT5M", "PT1H30M", "P1D".'
            raise refusal("invalid_duration", f"{error}.", hint=hint) from error
        if not self.minimum <= value <= _LONGEST:
            least, most = duration_text(self.minimum), duration_text(_LONGEST)
            raise refusal("out_of_range", f"This must be between {least} and {most}, not {data}.")
        return value

    def to_representation(self, value: timedelta) -> str:
        return duration_text(value)


@extend_schema_field({"type": "string", "format": "date-time", "example": "2026-03-29T08:00:00Z"})
class Instant(serializers.Field[datetime, Any, str, Any]):
    """An ISO 8601 date and time with its offset, shown in UTC."""

    def to_internal_value(self, data: Any) -> datetime:
        value = _date_time(data)
        if value.tzinfo is None:
            raise refusal("offset_missing", "An instant needs its offset.", hint='End it with "Z" or "+02:00".')
        return value.astimezone(UTC)

    def to_representation(self, value: datetime) -> str:
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


@extend_schema_field({"type": "string", "example": "2026-03-29T08:00:00"})
class Moment(serializers.Field[datetime, Any, str, Any]):
    """An ISO 8601 date and time, with an offset or without: what that means is for the reader to say."""

    def to_internal_value(self, data: Any) -> datetime:
        return _date_time(data).replace(microsecond=0)

    def to_representation(self, value: datetime) -> str:
        return value.isoformat()


@extend_schema_field({"type": "string", "example": "2026-03-29T08:00:00"})
class LocalTime(Moment):
    """A wall-clock date and time of the zone that stands in another field. One with an offset is brought there."""


@extend_schema_field({"type": "object", "additionalProperties": True})
class JSONObject(serializers.Field[dict[str, Any], Any, dict[str, Any], Any]):
    """A JSON object with any members."""

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if not isinstance(data, dict):
            raise refusal("not_an_object", f"This must be an object, not {json_type(data)}.")
        return data

    def to_representation(self, value: dict[str, Any]) -> dict[str, Any]:
        return value


@extend_schema_field({"type": "object", "additionalProperties": {"type": "string"}})
class Labels(JSONObject):
    """Up to 32 labels: names and values are short strings."""

    limit = 32
    longest = 200

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        labels = super().to_internal_value(data)
        if len(labels) > self.limit:
            raise refusal("too_many", f"At most {self.limit} labels, not {len(labels)}.")
        for name, value in labels.items():
            if not isinstance(value, str):
                raise refusal("wrong_type", f"The label {name[:80]!r} must be a string, not {json_type(value)}.")
            if len(name) > self.longest or len(value) > self.longest:
                raise refusal("too_long", f"Names and values of labels have at most {self.longest} characters.")
        return labels


def _date_time(data: Any) -> datetime:
    if not isinstance(data, str):
        raise refusal("wrong_type", f"This must be an ISO 8601 date and time, not {json_type(data)}.")
    try:
        return parse_instant(data, field="This")
    except ScheduleError as error:
        raise refusal(error.code, f"{error.detail}.", hint=error.hint) from error
