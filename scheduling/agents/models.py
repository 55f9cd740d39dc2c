"""Who may act: operators, who log in to the console, and agents, who call the API with tokens."""

from datetime import datetime, timedelta
from typing import Any, ClassVar

from django.contrib.auth.models import AbstractUser
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower, Now

from scheduling.ids import new_id


class Operator(AbstractUser):
    """A person who works in the console. An agent is never an operator."""

    class Meta(AbstractUser.Meta):
        verbose_name = "operator"


class AgentQuerySet(models.QuerySet["Agent"]):
    def enabled(self) -> "AgentQuerySet":
        return self.filter(disabled_at=None)


class Agent(models.Model):
    """An API principal: an assistant or a program. It owns tasks and sees its own unless scoped wider."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    name = models.SlugField(max_length=80, help_text="Shown as the owner of tasks and in the audit trail.")
    description = models.TextField(blank=True)
    scopes = ArrayField(models.CharField(max_length=40), default=list, help_text="What its tokens may do at most.")
    max_tasks = models.PositiveIntegerField(default=1000, help_text="Active and paused tasks it may have.")
    requests_per_minute = models.PositiveIntegerField(default=600)
    minimum_interval = models.DurationField(
        default=timedelta(0), help_text="Its schedules fire no oftener than this. 0: no bound but a second."
    )
    disabled_at = models.DateTimeField(null=True, blank=True, help_text="From then on every token is refused.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    objects = AgentQuerySet.as_manager()

    class Meta:
        constraints: ClassVar[list[Any]] = [models.UniqueConstraint(Lower("name"), name="agent_name_unique")]

    def __str__(self) -> str:
        return self.name


class AgentTokenQuerySet(models.QuerySet["AgentToken"]):
    def usable(self, *, now: datetime) -> "AgentTokenQuerySet":
        """Tokens that open the API at `now`: not revoked, not expired, of an enabled agent."""
        return self.filter(Q(expires_at=None) | Q(expires_at__gt=now), revoked_at=None, agent__disabled_at=None)


class AgentToken(models.Model):
    """A bearer token of an agent: 256 random bits, shown once. Stored are its prefix and the SHA-256 digest.

    A plain digest is enough where the secret has 256 bits: there is nothing to guess that salt would slow down.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    agent = models.ForeignKey(Agent, on_delete=models.CASCADE, related_name="tokens")
    name = models.CharField(max_length=80, blank=True)
    prefix = models.CharField(max_length=16, unique=True, editable=False)
    digest = models.CharField(max_length=64, editable=False)
    scopes = ArrayField(
        models.CharField(max_length=40), null=True, blank=True, help_text="Narrower than its agent's; empty: the same."
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = AgentTokenQuerySet.as_manager()

    class Meta:
        constraints: ClassVar[list[Any]] = [
            models.CheckConstraint(condition=Q(digest__regex=r"^[0-9a-f]{64}$"), name="agent_token_digest_is_sha256"),
        ]

    def __str__(self) -> str:
        return f"{self.prefix}…"
