"""The addresses of approvals."""

from typing import Any
from uuid import UUID

from django.urls import path
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from scheduling.api.access import DECIDE_APPROVALS, READ_RUNS
from scheduling.api.finding import caller_of, find, seen
from scheduling.api.idempotency import idempotent
from scheduling.api.pages import page_of
from scheduling.api.parameters import PageParameters
from scheduling.api.principal import actor_of
from scheduling.api.shapes import page_shape
from scheduling.api.views import View, body_of
from scheduling.definitions.strict import parse
from scheduling.instants import database_now
from workers.approvals import operations
from workers.approvals.selectors import STATES, Decider, in_state, visible_approvals
from workers.approvals.shapes import ApprovalShape, Approving, Rejecting
from workers.models import Question


class ApprovalParameters(PageParameters):
    """Which approvals."""

    state = serializers.ChoiceField(choices=STATES, required=False)
    run = serializers.UUIDField(required=False)
    task = serializers.UUIDField(required=False)


class ApprovalList(View):
    tag = "approvals"
    access = {"get": READ_RUNS}
    parameters = {"get": ApprovalParameters}

    @extend_schema(operation_id="listApprovals", responses=page_shape(ApprovalShape))
    def get(self, request: Request) -> Response:
        """List what runs have asked people to decide, newest first; `state=open` is what still can be decided."""
        columns = {"run": "run_id", "task": "run__task_id"}
        chosen: dict[str, Any] = {column: self.given[name] for name, column in columns.items() if name in self.given}
        found = seen(request, visible_approvals).filter(**chosen)
        if "state" in self.given:
            found = in_state(found, self.given["state"])
        return Response(page_of(request, found, self.given, lambda rows: _shown(request, rows)))


class ApprovalView(View):
    tag = "approvals"
    access = {"get": READ_RUNS}

    @extend_schema(operation_id="getApproval", responses=ApprovalShape)
    def get(self, request: Request, approval_id: UUID) -> Response:
        """Show an approval."""
        return Response(_shown(request, [find(request, visible_approvals, approval_id)])[0])


class ApproveView(View):
    tag = "approvals"
    access = {"post": DECIDE_APPROVALS}

    @extend_schema(
        operation_id="approveApproval",
        request=Approving,
        responses=ApprovalShape,
        examples=[OpenApiExample("With a form", {"form": {"amount": 12}, "reason": "checked"}, request_only=True)],
    )
    @idempotent
    def post(self, request: Request, approval_id: UUID) -> Response:
        """Let the run go on. Nobody approves what they started, nor an agent a run of its own tasks."""
        given = parse(Approving, body_of(request))
        approval = find(request, visible_approvals, approval_id)
        decided = operations.approve(actor=actor_of(request), approval=approval, **given)
        return Response(_shown(request, [decided])[0])


class RejectView(View):
    tag = "approvals"
    access = {"post": DECIDE_APPROVALS}

    @extend_schema(operation_id="rejectApproval", request=Rejecting, responses=ApprovalShape)
    @idempotent
    def post(self, request: Request, approval_id: UUID) -> Response:
        """Refuse it: the step fails, with the class `rejected`, unless it says otherwise."""
        given = parse(Rejecting, body_of(request))
        approval = find(request, visible_approvals, approval_id)
        decided = operations.reject(actor=actor_of(request), approval=approval, **given)
        return Response(_shown(request, [decided])[0])


def _shown(request: Request, rows: list[Question]) -> list[Any]:
    """The approvals as the caller sees them. At most three queries, however many they are."""
    needed = DECIDE_APPROVALS
    lacking = caller_of(request).lacks(scope=needed.scope, permission=needed.permission)
    decider = Decider(actor=actor_of(request), may_decide_any=lacking is None, now=database_now())
    return list(ApprovalShape(rows, many=True, context={"decider": decider}).data)


urlpatterns = [
    path("approvals", ApprovalList.as_view(), name="approvals"),
    path("approvals/<uuid:approval_id>", ApprovalView.as_view(), name="approval"),
    path("approvals/<uuid:approval_id>/approve", ApproveView.as_view(), name="approval-approve"),
    path("approvals/<uuid:approval_id>/reject", RejectView.as_view(), name="approval-reject"),
]
