"""The audit trail, and the stored replies of idempotent requests."""

from typing import Any, ClassVar

from django.db import models
from django.db.models.functions import Now

from scheduling.fields import JSONBytesField


class ActorKind(models.TextChoices):
    OPERATOR = "operator"
    AGENT = "agent"
    SYSTEM = "system"


class AuditEntry(models.Model):
    """Who did what to which object, and what it was before and after. Append-only: a trigger forbids the rest.

    Ids and labels are text without foreign keys: a trigger that forbids updates would block SET NULL and CASCADE, and
    the trail has to outlive what it speaks of.
    """

    at = models.DateTimeField(db_default=Now())
    actor_kind = models.CharField(max_length=10, choices=ActorKind.choices)
    actor_id = models.CharField(max_length=64, blank=True)
    actor_label = models.CharField(max_length=160, blank=True)
    action = models.CharField(max_length=60, help_text="Noun and verb, such as task.pause.")
    object_kind = models.CharField(max_length=40)
    object_id = models.CharField(max_length=64)
    object_label = models.CharField(max_length=200, blank=True)
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)
    request_id = models.CharField(max_length=64, blank=True)
    address = models.GenericIPAddressField(null=True)

    class Meta:
        verbose_name_plural = "audit entries"
        indexes: ClassVar[list[Any]] = [
            models.Index("object_kind", "object_id", "id", name="audit_object_idx"),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.object_label}"


class IdempotencyRecord(models.Model):
    """The reply to a request that carried an `Idempotency-Key`, stored in the transaction of its effect.

    What a step of a run does once has one, too (`actor_id` is `run:` and the run's id). It has no `expires_at`, and is
    deleted together with the run.
    """

    actor_id = models.CharField(max_length=64)
    key = models.CharField(max_length=200)
    fingerprint = models.CharField(max_length=64, help_text="SHA-256 of method, path and body.")
    status = models.PositiveSmallIntegerField()
    body = JSONBytesField(null=True)
    headers = models.JSONField(default=dict)
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField(null=True)

    class Meta:
        constraints: ClassVar[list[Any]] = [
            models.UniqueConstraint(fields=["actor_id", "key"], name="idempotency_key_unique_for_actor"),
        ]
        indexes: ClassVar[list[Any]] = [models.Index("expires_at", name="idempotency_expiry_idx")]

    def __str__(self) -> str:
        return self.key
