"""What an agent is made of, as it is written."""

from datetime import timedelta
from typing import Any

from rest_framework import serializers

from scheduling.agents.scopes import SCOPES, problems_of_scopes
from scheduling.definitions.fields import Duration, Instant, Number, Slug, Text
from scheduling.definitions.strict import StrictSerializer, refusal_of
from scheduling.errors import Problem


class Scopes(serializers.ListField):
    """A list of known scopes."""

    child = Text(max_length=40)

    def to_internal_value(self, data: Any) -> list[str]:
        scopes: list[str] = super().to_internal_value(data)
        problems = [
            Problem(pointer=each.pointer.removeprefix("/scopes"), code=each.code, detail=each.detail, hint=each.hint)
            for each in problems_of_scopes(scopes)
        ]
        if problems:
            raise refusal_of(problems)
        return sorted(set(scopes))


class AgentDefinition(StrictSerializer):
    """An agent: the principal of the API."""

    name = Slug(max_length=80)
    description = Text(required=False, allow_blank=True, default="", max_length=2000)
    scopes = Scopes(max_length=len(SCOPES), help_text="What its tokens may do at most.")
    max_tasks = Number(required=False, default=1000, min_value=0, max_value=1_000_000)
    minimum_interval = Duration(
        required=False, default=timedelta(0), help_text="Its schedules fire no oftener than this. PT0S: no bound."
    )
    requests_per_minute = Number(required=False, default=600, min_value=1, max_value=1_000_000)


class TokenDefinition(StrictSerializer):
    """A token of an agent: its scopes are the agent's, or fewer."""

    name = Text(required=False, allow_blank=True, default="", max_length=80)
    scopes = Scopes(required=False, allow_null=True, default=None, max_length=len(SCOPES))
    expires_at = Instant(required=False, allow_null=True, default=None)
