"""The address of events."""

from django.urls import path
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from scheduling.api.access import WRITE_EVENTS
from scheduling.api.finding import seen
from scheduling.api.idempotency import idempotent
from scheduling.api.principal import actor_of
from scheduling.api.shapes import Shape
from scheduling.api.views import View, body_of
from scheduling.definitions.strict import parse
from scheduling.events.operations import EventDefinition, publish
from scheduling.runs.selectors import visible_runs


class PublishedShape(Shape):
    """An event that was taken, and the runs that it started."""

    id = serializers.UUIDField()
    topic = serializers.CharField()
    runs = serializers.ListField(child=serializers.UUIDField())


class EventList(View):
    tag = "events"
    access = {"post": WRITE_EVENTS}

    @extend_schema(operation_id="publishEvent", request=EventDefinition, responses={202: PublishedShape})
    @idempotent
    def post(self, request: Request) -> Response:
        """Publish an event: it is stored with the runs that it starts, and goes to Redis when Redis is there.

        Whoever listens is started, whosever task it is; `runs` names those that the caller may see.
        """
        given = parse(EventDefinition, body_of(request))
        published = publish(actor=actor_of(request), topic=given["topic"], payload=given["payload"])
        event = published.event
        visible = set(seen(request, visible_runs).filter(pk__in=published.run_ids).values_list("pk", flat=True))
        runs = [str(run_id) for run_id in published.run_ids if run_id in visible]
        return Response({"id": str(event.pk), "topic": event.topic, "runs": runs}, status=202)


urlpatterns = [path("events", EventList.as_view(), name="events")]
