"""The addresses of redrives and of bulk operations."""

from uuid import UUID

from django.urls import path
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from scheduling.agents.models import Agent
from scheduling.api.access import OPERATE_RUNS, READ_RUNS
from scheduling.api.finding import caller_of, find, seen
from scheduling.api.idempotency import idempotent
from scheduling.api.pages import page_of
from scheduling.api.parameters import PageParameters
from scheduling.api.principal import actor_of
from scheduling.api.shapes import page_shape
from scheduling.api.views import View, body_of
from scheduling.bulk import operations
from scheduling.bulk.definition import BulkCancellation, Redrive
from scheduling.bulk.models import BulkOperation, BulkState
from scheduling.bulk.selectors import visible_operations
from scheduling.bulk.shapes import BulkOperationShape, RedrivePreviewShape, preview_document
from scheduling.definitions.strict import parse


class BulkOperationParameters(PageParameters):
    """Which operations."""

    state = serializers.ChoiceField(choices=BulkState.values, required=False)


class RedriveRuns(View):
    tag = "runs"
    access = {"post": OPERATE_RUNS}

    @extend_schema(
        operation_id="redriveRuns",
        request=Redrive,
        responses={200: RedrivePreviewShape, 202: BulkOperationShape},
        examples=[
            OpenApiExample("Preview", {"filter": {"code": "connection_refused"}}, request_only=True),
            OpenApiExample(
                "Redrive",
                {"filter": {"code": "connection_refused"}, "dry_run": False, "expected_count": 120},
                request_only=True,
            ),
        ],
    )
    @idempotent
    def post(self, request: Request) -> Response:
        """Count the failed runs that match, or with `dry_run` false queue them all again, in the background."""
        body = body_of(request)
        given = parse(Redrive, body)
        chosen, agent = body.get("filter", {}), _whose(request)
        if given["dry_run"]:
            return Response(preview_document(operations.preview_redrive(agent=agent, given=chosen)))
        operation = operations.create_redrive(
            actor=actor_of(request), agent=agent, given=chosen, expected_count=given.get("expected_count")
        )
        location = {"Location": f"/api/v1/bulk-operations/{operation.pk}"}
        return Response(BulkOperationShape(operation).data, status=202, headers=location)


class BulkOperationList(View):
    tag = "runs"
    access = {"get": READ_RUNS}
    parameters = {"get": BulkOperationParameters}

    @extend_schema(operation_id="listBulkOperations", responses=page_shape(BulkOperationShape))
    def get(self, request: Request) -> Response:
        """List bulk operations, newest first."""
        rows = seen(request, visible_operations)
        if "state" in self.given:
            rows = rows.filter(state=self.given["state"])
        return Response(page_of(request, rows, self.given, lambda page: list(BulkOperationShape(page, many=True).data)))


class BulkOperationView(View):
    tag = "runs"
    access = {"get": READ_RUNS}

    @extend_schema(operation_id="getBulkOperation", responses=BulkOperationShape)
    def get(self, request: Request, operation_id: UUID) -> Response:
        """Show a bulk operation and how far it has come."""
        return Response(BulkOperationShape(find(request, visible_operations, operation_id)).data)


class CancelBulkOperationView(View):
    tag = "runs"
    access = {"post": OPERATE_RUNS}

    @extend_schema(operation_id="cancelBulkOperation", request=BulkCancellation, responses=BulkOperationShape)
    @idempotent
    def post(self, request: Request, operation_id: UUID) -> Response:
        """Take no further batch. What is done stays done."""
        given = parse(BulkCancellation, body_of(request))
        # One of all agents is changed by those alone who may change all agents' runs.
        operation: BulkOperation = visible_operations(_whose(request)).get(pk=operation_id)
        canceled = operations.cancel_operation(actor=actor_of(request), operation=operation, reason=given["reason"])
        return Response(BulkOperationShape(canceled).data)


def _whose(request: Request) -> Agent | None:
    """The agent whose runs are all that the caller may see and change; None: everybody's."""
    caller = caller_of(request)
    return caller.changes_only() or caller.sees_only()


urlpatterns = [
    path("runs/redrive", RedriveRuns.as_view(), name="runs-redrive"),
    path("bulk-operations", BulkOperationList.as_view(), name="bulk-operations"),
    path("bulk-operations/<uuid:operation_id>", BulkOperationView.as_view(), name="bulk-operation"),
    path("bulk-operations/<uuid:operation_id>/cancel", CancelBulkOperationView.as_view(), name="bulk-operation-cancel"),
]
