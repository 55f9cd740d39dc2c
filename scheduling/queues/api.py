"""The addresses of queues."""

from django.urls import path
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from scheduling.api.access import OPERATE_QUEUES, READ_WORKERS
from scheduling.api.idempotency import idempotent
from scheduling.api.principal import actor_of
from scheduling.api.views import View, body_of
from scheduling.definitions.strict import StrictSerializer, parse
from scheduling.queues import operations
from scheduling.queues.definition import QueueChanges, QueuePause
from scheduling.queues.selectors import queue_state, queue_states, require_known
from scheduling.queues.shapes import QueuePage, QueueShape

_RATE = {"rate": {"limit": 100, "period": "PT1M", "burst": 20}}


class QueueList(View):
    tag = "queues"
    access = {"get": READ_WORKERS}

    @extend_schema(operation_id="listQueues", responses=QueuePage)
    def get(self, request: Request) -> Response:
        """List the queues that hold something or are operated, with the age of the oldest row that may be claimed."""
        return Response({"items": QueueShape(queue_states(), many=True).data, "next": None, "prev": None})


class QueueView(View):
    tag = "queues"
    access = {"get": READ_WORKERS, "patch": OPERATE_QUEUES}

    @extend_schema(operation_id="getQueue", responses=QueueShape)
    def get(self, request: Request, name: str) -> Response:
        """Show what waits in a queue and how it is operated."""
        require_known(name)
        return _answer(name)

    @extend_schema(
        operation_id="updateQueue",
        request=QueueChanges,
        responses=QueueShape,
        examples=[OpenApiExample("A hundred a minute, twenty at once", _RATE, request_only=True)],
    )
    @idempotent
    def patch(self, request: Request, name: str) -> Response:
        """Change rate, fairness or weight, also of a queue that no task names yet. Holds from the next claim on."""
        operations.update_queue(actor=actor_of(request), name=name, changes=body_of(request))
        return _answer(name)


class PauseQueueView(View):
    tag = "queues"
    access = {"post": OPERATE_QUEUES}

    @extend_schema(operation_id="pauseQueue", request=QueuePause, responses=QueueShape)
    @idempotent
    def post(self, request: Request, name: str) -> Response:
        """Start nothing more of it until resumed, or until an instant. What workers hold is finished."""
        given = parse(QueuePause, body_of(request))
        require_known(name)
        operations.pause_queue(actor=actor_of(request), name=name, reason=given["reason"], until=given["until"])
        return _answer(name)


class ResumeQueueView(View):
    tag = "queues"
    access = {"post": OPERATE_QUEUES}

    @extend_schema(operation_id="resumeQueue", request=None, responses=QueueShape)
    @idempotent
    def post(self, request: Request, name: str) -> Response:
        """Let its work be claimed again. Resuming a queue that is not paused changes nothing."""
        parse(StrictSerializer, body_of(request))
        require_known(name)
        operations.resume_queue(actor=actor_of(request), name=name)
        return _answer(name)


def _answer(name: str) -> Response:
    return Response(QueueShape(queue_state(name)).data)


urlpatterns = [
    path("queues", QueueList.as_view(), name="queues"),
    path("queues/<slug:name>", QueueView.as_view(), name="queue"),
    path("queues/<slug:name>/pause", PauseQueueView.as_view(), name="queue-pause"),
    path("queues/<slug:name>/resume", ResumeQueueView.as_view(), name="queue-resume"),
]
