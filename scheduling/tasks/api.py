"""The addresses of tasks."""

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.urls import path
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from scheduling.api.access import OPERATE_TASKS, READ_TASKS, START_RUNS, WRITE_TASKS
from scheduling.api.finding import caller_of, find, find_to_change, seen
from scheduling.api.idempotency import idempotent
from scheduling.api.pages import page_of
from scheduling.api.parameters import PageParameters
from scheduling.api.principal import actor_of
from scheduling.api.shapes import page_shape
from scheduling.api.views import View, body_of, created, entity_tag, matched_tag
from scheduling.definitions.fields import Instant, JSONObject, Text, Truth
from scheduling.definitions.strict import StrictSerializer, parse
from scheduling.errors import Forbidden, VersionMismatch
from scheduling.runs.operations import start_run
from scheduling.runs.shapes import RunShape
from scheduling.tasks import operations
from scheduling.tasks.definition import TaskChanges, TaskDefinition
from scheduling.tasks.examples import MORNING_BRIEFING
from scheduling.tasks.models import RevisionPurpose, Task, TaskState
from scheduling.tasks.selectors import visible_tasks
from scheduling.tasks.shapes import RevisionShape, TaskShape


class TaskParameters(PageParameters):
    """Which tasks."""

    state = serializers.ChoiceField(choices=TaskState.values, required=False)
    key = serializers.CharField(required=False, max_length=120)
    queue = serializers.CharField(required=False, max_length=60)


class TaskPause(StrictSerializer):
    """Why, and until when: with `until` the task resumes by itself."""

    reason = Text(required=False, allow_blank=True, default="", max_length=500)
    until = Instant(required=False, allow_null=True, default=None)


class RunStart(StrictSerializer):
    """Params of this run, laid over the task's; `simulate` sends nothing and marks every result."""

    params = JSONObject(required=False, default=dict)
    simulate = Truth(required=False, default=False)


class TaskList(View):
    tag = "tasks"
    access = {"get": READ_TASKS, "post": WRITE_TASKS}
    parameters = {"get": TaskParameters}

    @extend_schema(operation_id="listTasks", responses=page_shape(TaskShape))
    def get(self, request: Request) -> Response:
        """List tasks, newest first."""
        tasks = _chosen(seen(request, visible_tasks), self.given)
        return Response(page_of(request, tasks, self.given, lambda rows: list(TaskShape(rows, many=True).data)))

    @extend_schema(
        operation_id="createTask",
        request=TaskDefinition,
        responses={201: TaskShape},
        examples=[OpenApiExample("Morning briefing", MORNING_BRIEFING, request_only=True)],
    )
    @idempotent
    def post(self, request: Request) -> Response:
        """Create a task with its pipeline and its schedules, whole or not at all."""
        agent = caller_of(request).agent
        if agent is None:
            raise Forbidden(
                "A task belongs to an agent.", hint="Create it with an agent's token, or in the console for an agent."
            )
        task = operations.create_task(actor=actor_of(request), agent=agent, definition=body_of(request))
        return created(_shown(task), location=f"/api/v1/tasks/{task.pk}", tag=entity_tag(task.version))


class TaskView(View):
    tag = "tasks"
    access = {"get": READ_TASKS, "patch": WRITE_TASKS, "put": WRITE_TASKS, "delete": WRITE_TASKS}
    conditional_methods = ("patch", "put")

    @extend_schema(operation_id="getTask", responses=TaskShape)
    def get(self, request: Request, task_id: UUID) -> Response:
        """Show a task."""
        return _answer(find(request, visible_tasks, task_id))

    @extend_schema(operation_id="updateTask", request=TaskChanges, responses=TaskShape)
    @idempotent
    def patch(self, request: Request, task_id: UUID) -> Response:
        """Change some fields. A changed pipeline is a new revision, which the next run uses."""
        return self._update(request, task_id, replaces=False)

    @extend_schema(operation_id="replaceTask", request=TaskChanges, responses=TaskShape)
    @idempotent
    def put(self, request: Request, task_id: UUID) -> Response:
        """Replace the definition: what is not given returns to its default. Schedules stay as they are."""
        return self._update(request, task_id, replaces=True)

    @extend_schema(operation_id="archiveTask", request=None, responses={204: None})
    @idempotent
    def delete(self, request: Request, task_id: UUID) -> Response:
        """Archive the task: nothing fires or starts any more, queued runs are canceled, history stays."""
        task = find_to_change(request, visible_tasks, task_id)
        operations.archive_task(actor=actor_of(request), task=task)
        return Response(status=204)

    def _update(self, request: Request, task_id: UUID, *, replaces: bool) -> Response:
        task = find_to_change(request, visible_tasks, task_id)
        changed = operations.update_task(
            actor=actor_of(request),
            task=task,
            changes=body_of(request),
            expected_version=_version(matched_tag(request)),
            replaces=replaces,
        )
        return _answer(changed)


class RunTaskView(View):
    tag = "tasks"
    access = {"post": START_RUNS}

    @extend_schema(operation_id="runTask", request=RunStart, responses={202: RunShape})
    @idempotent
    def post(self, request: Request, task_id: UUID) -> Response:
        """Run the task now, paused or not. The run may be born `skipped` by the task's policies, with its reason."""
        given = parse(RunStart, body_of(request))
        task = find_to_change(request, visible_tasks, task_id)
        run = start_run(actor=actor_of(request), task=task, params=given["params"], simulate=given["simulate"])
        return Response(RunShape(run).data, status=202, headers={"Location": f"/api/v1/runs/{run.pk}"})


class PauseTaskView(View):
    tag = "tasks"
    access = {"post": OPERATE_TASKS}

    @extend_schema(operation_id="pauseTask", request=TaskPause, responses=TaskShape)
    @idempotent
    def post(self, request: Request, task_id: UUID) -> Response:
        """Fire nothing until resumed, or until an instant. What a worker holds is finished."""
        given = parse(TaskPause, body_of(request))
        task = find_to_change(request, visible_tasks, task_id)
        operations.pause_task(actor=actor_of(request), task=task, reason=given["reason"], until=given["until"])
        return _answer(find(request, visible_tasks, task_id))


class ResumeTaskView(View):
    tag = "tasks"
    access = {"post": OPERATE_TASKS}

    @extend_schema(operation_id="resumeTask", request=None, responses=TaskShape)
    @idempotent
    def post(self, request: Request, task_id: UUID) -> Response:
        """Go on from now. What the schedules passed over is counted as missed; nothing is replayed."""
        parse(StrictSerializer, body_of(request))
        task = find_to_change(request, visible_tasks, task_id)
        operations.resume_task(actor=actor_of(request), task=task)
        return _answer(find(request, visible_tasks, task_id))


class RevisionList(View):
    tag = "tasks"
    access = {"get": READ_TASKS}
    parameters = {"get": PageParameters}

    @extend_schema(operation_id="listRevisions", responses=page_shape(RevisionShape))
    def get(self, request: Request, task_id: UUID) -> Response:
        """List the revisions of a task's pipeline, newest first."""
        task = find(request, visible_tasks, task_id)
        revisions = task.revisions.filter(purpose=RevisionPurpose.PIPELINE)
        return Response(page_of(request, revisions, self.given, lambda rows: list(RevisionShape(rows, many=True).data)))


def _chosen(tasks: QuerySet[Task], given: dict[str, Any]) -> QuerySet[Task]:
    return tasks.filter(**{name: given[name] for name in ("state", "key", "queue") if name in given})


def _version(tag: str | None) -> int | None:
    if tag is None:
        return None
    if not tag.isdecimal():
        raise VersionMismatch(hint="Send the ETag as the task's answer gave it.")
    return int(tag)


def _shown(task: Task) -> Any:
    return TaskShape(task).data


def _answer(task: Task) -> Response:
    return Response(_shown(task), headers={"ETag": entity_tag(task.version)})


urlpatterns = [
    path("tasks", TaskList.as_view(), name="tasks"),
    path("tasks/<uuid:task_id>", TaskView.as_view(), name="task"),
    path("tasks/<uuid:task_id>/run", RunTaskView.as_view(), name="task-run"),
    path("tasks/<uuid:task_id>/pause", PauseTaskView.as_view(), name="task-pause"),
    path("tasks/<uuid:task_id>/resume", ResumeTaskView.as_view(), name="task-resume"),
    path("tasks/<uuid:task_id>/revisions", RevisionList.as_view(), name="task-revisions"),
]
