"""Which secrets there are. Nothing here gives a value."""

from collections.abc import Collection, Mapping

from django.db.models import QuerySet

from pipelines.models import Secret
from scheduling.agents.models import Agent


def visible_secrets(agent: Agent | None) -> QuerySet[Secret]:
    """Those of one agent, or of all for None, without their values."""
    secrets = Secret.objects.defer("ciphertext").select_related("agent")
    return secrets if agent is None else secrets.filter(agent=agent)


def tools_of_secrets(agent_id: str) -> Mapping[str, Collection[str]]:
    """The tools that may have each secret of an agent, by the secret's name. One query."""
    return dict(Secret.objects.filter(agent_id=agent_id).values_list("name", "tools"))
