"""What a secret is made of, as it is written."""

from typing import Any

from django.core.validators import RegexValidator
from rest_framework import serializers

from pipelines.secrets.forms import SHORTEST
from scheduling.definitions.fields import Text
from scheduling.definitions.strict import StrictSerializer, refusal

LONGEST = 16_384
_HOST = r"^(?=.{1,253}\Z)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*\Z"
_is_host = RegexValidator(
    _HOST, "A host is written as in api.example.com, without scheme and port.", code="invalid_host"
)


class SecretName(Text):
    """A name that stands in an expression without quotes: `secrets.weather_key`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=80, **options)
        message = "A name begins with a letter; letters, digits and underscores follow."
        self.validators.append(RegexValidator(r"^[A-Za-z][A-Za-z0-9_]*\Z", message, code="invalid_name"))


class Host(Text):
    """The name of a host, in small letters, without scheme, port and path."""

    def to_internal_value(self, data: Any) -> str:
        host = super().to_internal_value(data).strip().lower()
        _is_host(host)
        return host


class SecretDefinition(StrictSerializer):
    """A secret: its value is written and never read back."""

    value = Text(
        min_length=SHORTEST,
        max_length=LONGEST,
        write_only=True,
        help_text="At least 8 characters, so that it can be told from other texts where it has to be taken out.",
    )
    tools = serializers.ListField(
        child=Text(max_length=200),
        min_length=1,
        max_length=50,
        required=False,
        default=lambda: ["http.request"],
        help_text="The tools that may be given it.",
    )
    hosts = serializers.ListField(
        child=Host(),
        max_length=50,
        required=False,
        default=list,
        help_text="The only hosts that http.request may send it to. Empty: any.",
    )

    def validate_value(self, value: str) -> str:
        """Blanks around it do not count: they get lost on the way, in a header for example."""
        if len(value.strip()) < SHORTEST:
            raise refusal("min_length", f"At least {SHORTEST} characters are needed, without the blanks around them.")
        return value

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        for name in ("tools", "hosts"):
            if name in attrs:
                attrs[name] = sorted(set(attrs[name]))
        return attrs


class NameDefinition(StrictSerializer):
    """The name alone."""

    name = SecretName()
