"""A task as it is written, and how what is written becomes columns."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from rest_framework import serializers

from scheduling.definitions.fields import Choice, Duration, JSONObject, Labels, Number, Real, Slug, Text, Truth
from scheduling.definitions.strict import StrictSerializer, refusal, refusal_of
from scheduling.errors import Problem
from scheduling.ports import pipeline_port
from scheduling.schedules.definition import ScheduleDefinition
from scheduling.tasks.models import DEFAULT_QUEUE, HIGHEST_PRIORITY, LOWEST_PRIORITY, OverlapPolicy, Task
from scheduling.tasks.pipeline_field import PipelineField

_SECOND = timedelta(seconds=1)
_SCHEDULES_LIMIT = 100
_PLAIN_COLUMNS = (
    *"key title description params simulate priority queue overlap retry timeout labels".split(),  # noqa: SIM905
    "pause_after_failures",
    "keep_runs",
    "keep_for",
)


class RetryPolicy(StrictSerializer):
    """How often and when a failed run is tried again. `max_attempts` counts the first."""

    max_attempts = Number(required=False, min_value=1, max_value=1000)
    backoff = Choice(choices=["exponential", "linear", "fixed"], required=False)
    initial = Duration(required=False)
    max = Duration(required=False)
    factor = Real(required=False, min_value=1, max_value=100)
    jitter = Truth(required=False)
    max_elapsed = Duration(required=False, minimum=_SECOND)
    on = serializers.ListField(child=Text(max_length=80), required=False, max_length=50)


class RetryField(RetryPolicy):
    """The policy as it was written: the worker reads the document's form."""

    def to_internal_value(self, data: Any) -> Any:
        super().to_internal_value(data)
        return data


class KeyTemplate(Text):
    """A key: text, or a template over `params` that makes one for each run."""

    def to_internal_value(self, data: Any) -> str:
        template = super().to_internal_value(data)
        if "${" in template:
            # Judged as the value of a step, for there is no other place where a template may stand alone.
            found = pipeline_port().validate({"version": 1, "steps": [{"id": "key", "set": {"key": template}}]})
            errors = [each for each in found if each.get("severity", "error") == "error"]
            if errors:
                raise refusal_of(
                    Problem(pointer="", code=each["code"], detail=each["detail"], hint=each.get("hint"))
                    for each in errors
                )
        return template


class Rate(StrictSerializer):
    """So many in each period, and as many at once: a bucket of `limit` tokens that is filled within `period`."""

    is_whole = True

    limit = Number(min_value=1, max_value=1_000_000)
    period = Duration(minimum=_SECOND)


class Concurrency(StrictSerializer):
    """At most `limit` runs with the same key at any instant, and at most `rate` of them admitted, where there is one.
    The key may be a template over `params`; without one it is a limit of this task alone."""

    is_whole = True

    key = KeyTemplate(
        max_length=200, required=False, allow_null=True, default=None, help_text="Without one: of this task alone."
    )
    limit = Number(min_value=1, max_value=100_000)
    rate = Rate(required=False, allow_null=True, default=None)


class Deduplication(StrictSerializer):
    """Within the window, one run for each key; others are skipped. The key may be a template over `params`."""

    is_whole = True

    key = KeyTemplate(max_length=200)
    window = Duration(minimum=_SECOND)


class TaskChanges(StrictSerializer):
    """The fields of a task that may change. The context may hold `agent_id`."""

    elsewhere: Mapping[str, str] = {"schedules": "Schedules change through their own addresses, /tasks/{id}/schedules."}

    key = Slug(max_length=120, help_text="Unique among the agent's tasks.")
    title = Text(max_length=200, required=False, help_text="Without one, the key.")
    description = Text(required=False, allow_blank=True, default="", max_length=10_000)
    pipeline = PipelineField()
    params = JSONObject(required=False, default=dict, help_text="Laid over the document's defaults, key by key.")
    simulate = Truth(required=False, default=False)
    priority = Number(required=False, default=5, min_value=HIGHEST_PRIORITY, max_value=LOWEST_PRIORITY)
    queue = Slug(max_length=60, required=False, default=DEFAULT_QUEUE)
    overlap = Choice(choices=OverlapPolicy.values, required=False, default=OverlapPolicy.ALLOW.value)
    retry = RetryField(required=False, default=dict)
    pause_after_failures = Number(
        required=False,
        allow_null=True,
        default=None,
        min_value=1,
        max_value=1000,
        help_text="Pause the task when so many of its runs in a row have failed.",
    )
    timeout = Duration(
        required=False,
        allow_null=True,
        default=None,
        minimum=_SECOND,
        help_text="The longest time of one attempt of a run, from its claim on, its waits included. It begins anew with"
        " a retry of the run, and with the claim after a hand-back (its worker drains, is replaced, or lacks a tool) or"
        " after the death of its worker; a run that was parked keeps it.",
    )
    keep_runs = Number(
        required=False,
        allow_null=True,
        default=None,
        min_value=1,
        max_value=100_000,
        help_text="Keep at most so many of the task's newest runs.",
    )
    keep_for = Duration(
        required=False,
        allow_null=True,
        default=None,
        minimum=_SECOND,
        help_text="Keep ended runs so long, whatever the settings say of their state.",
    )
    concurrency = Concurrency(required=False, allow_null=True, default=None)
    dedupe = Deduplication(required=False, allow_null=True, default=None)
    labels = Labels(required=False, default=dict)

    def validate_params(self, value: dict[str, Any]) -> dict[str, Any]:
        if len(value) > 500:
            raise refusal("too_many", "A task has at most 500 params.")
        return value


class TaskDefinition(TaskChanges):
    """A whole task. The context must hold `now`, an aware instant, for its schedules."""

    elsewhere: Mapping[str, str] = {}

    schedules = serializers.ListField(
        child=ScheduleDefinition(), required=False, default=list, max_length=_SCHEDULES_LIMIT
    )


def apply(task: Task, values: Mapping[str, Any]) -> None:
    """Lay validated values over the task's columns; those that are missing stay. The pipeline is a revision's."""
    for column in _PLAIN_COLUMNS:
        if column in values:
            setattr(task, column, values[column])
    if not task.title:
        task.title = task.key
    if "concurrency" in values:
        limits = values["concurrency"] or {}
        task.concurrency_limit = limits.get("limit")
        task.concurrency_key = (limits.get("key") or task.own_concurrency_key) if limits else ""
        rate = limits.get("rate") or {}
        task.rate_limit, task.rate_period = rate.get("limit"), rate.get("period")
    if "dedupe" in values:
        rule = values["dedupe"] or {}
        task.dedupe_key, task.dedupe_window = rule.get("key", ""), rule.get("window")
