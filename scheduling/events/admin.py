"""Events and the outbox, read-only: publishing is the API's."""

from django.contrib import admin

from scheduling.console.listing import ReadOnlyAdmin, exact_time
from scheduling.events.models import Event, Outbox


@admin.register(Event)
class EventAdmin(ReadOnlyAdmin):
    list_display = ("topic", "id", "agent", "created")
    list_select_related = ("agent",)
    search_fields = ("topic",)
    ordering = ("-id",)
    created = exact_time("created_at", "created")


@admin.register(Outbox)
class OutboxAdmin(ReadOnlyAdmin):
    """What Redis has not got yet. It is empty while all is well."""

    list_display = ("event_id", "topic", "created")
    list_select_related = ("event",)
    ordering = ("id",)
    created = exact_time("created_at", "created")

    @admin.display(description="topic")
    def topic(self, row: Outbox) -> str:
        return row.event.topic
