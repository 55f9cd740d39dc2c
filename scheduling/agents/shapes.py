"""Agents and tokens as the API shows them. The text of a token is in the answer that makes it, and nowhere else."""

from rest_framework import serializers

from scheduling.agents.models import AgentToken
from scheduling.agents.selectors import scopes_of
from scheduling.api.shapes import Shape
from scheduling.definitions.fields import Duration, Instant


class AgentShape(Shape):
    """A principal of the API."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    description = serializers.CharField(allow_blank=True)
    scopes = serializers.ListField(child=serializers.CharField())
    max_tasks = serializers.IntegerField()
    minimum_interval = Duration()
    requests_per_minute = serializers.IntegerField()
    disabled_at = Instant(allow_null=True)
    created_at = Instant()


class TokenShape(Shape):
    """A token, without its secret."""

    id = serializers.UUIDField()
    name = serializers.CharField(allow_blank=True)
    prefix = serializers.CharField()
    scopes = serializers.SerializerMethodField()
    created_at = Instant()
    expires_at = Instant(allow_null=True)
    last_used_at = Instant(allow_null=True)
    revoked_at = Instant(allow_null=True)

    def get_scopes(self, token: AgentToken) -> list[str]:
        return sorted(scopes_of(token))


class MeShape(Shape):
    """Who asks, and what the token may do."""

    agent = AgentShape(allow_null=True)
    token = TokenShape(allow_null=True)
    operator = serializers.CharField(allow_null=True)
    tasks = serializers.IntegerField(help_text="Active and paused tasks of the agent.", allow_null=True)


class NewTokenShape(TokenShape):
    """A token with its text, which is shown once."""

    token = serializers.CharField(help_text="The text. It cannot be read again.")
