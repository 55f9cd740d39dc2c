"""Parameters in the address, read as strictly as bodies."""

from typing import Any

from django.http import QueryDict
from rest_framework import serializers

from scheduling.definitions.json_values import problems_of
from scheduling.definitions.strict import StrictSerializer, problems_in
from scheduling.errors import Problem, SchedulingError

PAGE_LIMIT = 200
DEFAULT_PAGE = 50


class NoParameters(StrictSerializer):
    """None."""


class WholeNumber(serializers.IntegerField):
    """A whole number in ASCII digits; `int` reads those of every script."""

    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, str) and not data.isascii():
            self.fail("invalid")
        return int(super().to_internal_value(data))


class PageParameters(StrictSerializer):
    """Of every list."""

    limit = WholeNumber(
        required=False, default=DEFAULT_PAGE, min_value=1, max_value=PAGE_LIMIT, help_text="Items of a page."
    )
    cursor = serializers.CharField(required=False, max_length=200, help_text="From `next` or `prev` of another page.")


class InvalidParameters(SchedulingError):
    """A parameter in the address is not valid."""

    code = "invalid_parameter"
    status = 400


def read_parameters(kind: type[StrictSerializer], query: QueryDict) -> dict[str, Any]:
    """The validated parameters; InvalidParameters, by name, for what is unknown, doubled or malformed."""
    doubled = [
        Problem(pointer=f"/{name}", code="given_twice", detail=f"{name} is given more than once.")
        for name, values in query.lists()
        if len(values) > 1
    ]
    flat = {name: query[name] for name in query}
    problems = doubled or problems_of(flat)
    if not problems:
        serializer = kind(data=flat)
        if serializer.is_valid():
            return dict(serializer.validated_data)
        problems = list(problems_in(serializer.errors))
    first = problems[0]
    raise InvalidParameters(
        f"{first.detail} (parameter {first.pointer.lstrip('/')})", hint=first.hint, problems=problems
    )
