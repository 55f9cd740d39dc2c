"""The console's page on which a task is simulated, here and now, for whoever may see it."""

from typing import Any
from uuid import UUID

import orjson
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from pipelines.simulation.of_task import simulate_task
from scheduling.console.code import json_text
from scheduling.console.deeds import refusal_words
from scheduling.errors import NotValid, SchedulingError
from scheduling.tasks.models import Task

_STEPS_SHOWN = 200


def simulate_view(request: HttpRequest, object_id: UUID) -> HttpResponse:
    """The form, and after a POST the answer. 403 without the permission to see tasks, 404 without the task."""
    if not request.user.has_perm("scheduling.view_task"):
        raise PermissionDenied
    task = Task.objects.select_related("agent", "current_revision").filter(pk=object_id).first()
    if task is None:
        raise Http404(f"there is no task {object_id}")
    context = {
        **admin.site.each_context(request),
        "title": f"Simulate {task.title}",
        "opts": Task._meta,
        "original": task,
        "task": task,
        "params_text": request.POST.get("params") or json_text(task.params),
        "event_text": request.POST.get("event", ""),
        **(_answered(request, task) if request.method == "POST" else {}),
    }
    return TemplateResponse(request, "console/simulation.html", context)


def _answered(request: HttpRequest, task: Task) -> dict[str, Any]:
    """The simulation's answer for what the form says, or `refusal`: why there is none."""
    try:
        answer = simulate_task(
            task, params=_object(request, "params") or {}, event=_object(request, "event"), expressions=True
        )
    except SchedulingError as refused:
        return {"refusal": refusal_words(refused)}
    steps = answer.get("steps", [])
    return {"answer": answer, "steps": steps[:_STEPS_SHOWN], "more_steps": max(0, len(steps) - _STEPS_SHOWN)}


def _object(request: HttpRequest, name: str) -> dict[str, Any] | None:
    """The JSON object in a field of the form, None where it is empty. Raises NotValid."""
    text = request.POST.get(name, "").strip()
    if not text:
        return None
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise NotValid(f"The {name} field is no JSON: {error}.") from error
    if not isinstance(value, dict):
        raise NotValid(f"The {name} field must be a JSON object.")
    return value
