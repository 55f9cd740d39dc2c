"""The audit trail and the stored replies, read-only."""

from django.contrib import admin

from scheduling.audit.models import AuditEntry, IdempotencyRecord
from scheduling.console.listing import ReadOnlyAdmin, exact_time


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    list_display = ("when", "action", "object_label", "object_kind", "actor_label", "actor_kind", "address")
    list_display_links = ("action",)
    list_filter = ("actor_kind",)  # the kinds of objects would be read from the whole table
    linked_by = ("object_id", "object_kind", "action")  # the trail of one object, see `audit_url`
    search_fields = ("object_id__exact", "object_label", "actor_label", "action", "request_id__exact")
    ordering = ("-id",)
    when = exact_time("at", "when")


@admin.register(IdempotencyRecord)
class IdempotencyRecordAdmin(ReadOnlyAdmin):
    """The replies themselves stay hidden: one may hold a token."""

    list_display = ("key", "actor_id", "status", "created", "expires")
    search_fields = ("key",)
    ordering = ("-id",)
    hidden_fields = ("body", "headers")
    created = exact_time("created_at", "created")
    expires = exact_time("expires_at", "expires")
