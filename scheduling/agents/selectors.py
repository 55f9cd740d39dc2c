"""Find agents and tokens."""

from datetime import datetime, timedelta

from django.db.models import Q

from scheduling.agents.models import AgentToken
from scheduling.agents.tokens import prefix_of, proves

_USE_IS_NOTED_EVERY = timedelta(minutes=1)


def authenticate(text: str, now: datetime) -> AgentToken | None:
    """The usable token with this text, its agent loaded; None for anything else, whatever the reason.

    Notes the use, at most once a minute, so that a busy token does not write its row at every request.
    """
    prefix = prefix_of(text)
    if prefix is None:
        return None
    token = AgentToken.objects.usable(now=now).select_related("agent").filter(prefix=prefix).first()
    if token is None or not proves(text, token.digest):
        return None
    stale = now - _USE_IS_NOTED_EVERY
    if token.last_used_at is None or token.last_used_at < stale:
        unnoted = Q(last_used_at=None) | Q(last_used_at__lt=stale)
        AgentToken.objects.filter(unnoted, pk=token.pk).update(last_used_at=now)
    return token


def scopes_of(token: AgentToken) -> frozenset[str]:
    """What the token opens: its own scopes as far as its agent has them still."""
    held = frozenset(token.agent.scopes)
    return held if token.scopes is None else held & frozenset(token.scopes)
