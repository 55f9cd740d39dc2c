"""The console's form of a task: the definition that the API takes, field by field, with the pipeline as text."""

import json
from typing import Any, ClassVar

import orjson
from django import forms
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from scheduling.agents.models import Agent
from scheduling.console.code import yaml_text
from scheduling.console.forms import OperationForm
from scheduling.definitions.durations import duration_text
from scheduling.tasks import operations
from scheduling.tasks.models import OverlapPolicy, Task

NEW_PIPELINE = """version: 1
steps:
  - id: note
    uses: log.write
    with:
      message: "It is ${now}."
"""


def _source(rows: int) -> Any:
    return UnfoldAdminTextareaWidget({"rows": rows, "class": "ord-source", "spellcheck": "false"})


# What the form and the task's row call by the same name.
_PLAIN = ("key", "title", "description", "params", "simulate", "priority", "queue", "overlap", "retry", "labels")
_LIMITS = ("concurrency_key", "concurrency_limit", "rate_limit", "dedupe_key")


class JSONText(forms.CharField):
    """A JSON object as indented text; empty is an empty object.

    Read as the API reads bodies. Django's own field takes NaN, and falls over numbers of thousands of digits and
    nesting of thousands of levels.
    """

    def __init__(self, help_text: str) -> None:
        super().__init__(required=False, initial=dict, help_text=help_text, widget=_source(4))

    def prepare_value(self, value: Any) -> Any:
        return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)

    def to_python(self, value: Any) -> Any:
        text = super().to_python(value)
        try:
            read = orjson.loads(text or "{}")
        except orjson.JSONDecodeError as error:
            raise forms.ValidationError(f"This is no JSON: {error}.", code="malformed_json") from error
        return {} if read is None else read


def _text(*, required: bool = False, help_text: str = "") -> forms.CharField:
    return forms.CharField(required=required, help_text=help_text, widget=UnfoldAdminTextInputWidget)


def _number(*, required: bool = False, help_text: str = "", initial: int | None = None) -> forms.IntegerField:
    return forms.IntegerField(
        required=required, help_text=help_text, initial=initial, widget=UnfoldAdminIntegerFieldWidget
    )


class TaskForm(OperationForm):
    key = _text(required=True, help_text="A short name in lower case, unique for its agent.")
    title = _text(help_text="Empty: the key.")
    description = forms.CharField(required=False, widget=UnfoldAdminTextareaWidget({"rows": 2}))
    pipeline = forms.CharField(
        widget=_source(24), strip=False, initial=NEW_PIPELINE, help_text="YAML or JSON. A change is a new revision."
    )
    params = JSONText("Laid over the document's params, key by key.")
    simulate = forms.BooleanField(required=False, help_text="Every run is simulated: no tool is called for real.")
    priority = _number(required=True, initial=5, help_text="1 is claimed first, 9 last.")
    queue = _text(required=True)
    overlap = forms.ChoiceField(
        choices=OverlapPolicy.choices,
        widget=UnfoldAdminSelectWidget,
        help_text="What to do with a start while a run of the task is live.",
    )
    pause_after_failures = forms.IntegerField(
        required=False,
        help_text="Pause the task when so many runs in a row have failed. Empty: never.",
        widget=UnfoldAdminTextInputWidget,
    )
    keep_runs = _number(help_text="Keep at most so many of the newest runs. Empty: however many.")
    keep_for = _text(help_text="Keep ended runs so long, ISO 8601, such as P7D. Empty: as the settings say.")
    timeout = _text(help_text="Of one attempt of a run, ISO 8601, such as PT10M. Empty: no limit.")
    retry = JSONText('Of the whole run, such as {"max_attempts": 3, "backoff": "exponential", "initial": "PT10S"}.')
    concurrency_key = _text(
        help_text="At most so many runs with the same key at once, over all tasks. Empty: of this task."
    )
    concurrency_limit = _number()
    rate_limit = _number(help_text="At most so many admitted under the key in each period. Empty: no rate.")
    rate_period = _text(help_text="ISO 8601, such as PT1M.")
    dedupe_key = _text(help_text="Within the window, one run for each key.")
    dedupe_window = _text(help_text="ISO 8601, such as PT1H.")
    labels = JSONText("Your own words to find it by.")

    field_of_pointer: ClassVar[dict[str, str]] = {"concurrency": "concurrency_key", "dedupe": "dedupe_key"}

    class Meta:
        model = Task
        fields = ("agent",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.is_new:
            self.initial = {"queue": "default", **self.initial}
        else:
            self.initial = {**self.initial, **_as_written(self.instance)}

    def carry_out(self, given: dict[str, Any]) -> Task:
        if self.is_new:
            agent: Agent = given["agent"]
            return operations.create_task(actor=self.actor, agent=agent, definition=_definition(given))
        return operations.update_task(actor=self.actor, task=self.instance, changes=_definition(given))


def _definition(given: dict[str, Any]) -> dict[str, Any]:
    """What the form says, in the words of the API."""
    has_rate = given["rate_limit"] is not None or given["rate_period"]
    has_limit = given["concurrency_key"] or given["concurrency_limit"] is not None or has_rate
    has_window = given["dedupe_key"] or given["dedupe_window"]
    return {
        **{name: given[name] for name in (*_PLAIN, "pipeline") if name != "title" or given["title"]},
        "timeout": given["timeout"] or None,
        "pause_after_failures": given["pause_after_failures"],
        "keep_runs": given["keep_runs"],
        "keep_for": given["keep_for"] or None,
        "concurrency": {
            "key": given["concurrency_key"] or None,
            "limit": given["concurrency_limit"],
            "rate": {"limit": given["rate_limit"], "period": given["rate_period"]} if has_rate else None,
        }
        if has_limit
        else None,
        "dedupe": {"key": given["dedupe_key"], "window": given["dedupe_window"]} if has_window else None,
    }


def _as_written(task: Task) -> dict[str, Any]:
    return {
        **{name: getattr(task, name) for name in (*_PLAIN, *_LIMITS)},
        "concurrency_key": task.shown_concurrency_key or "",
        "pipeline": yaml_text(task.current_revision.document) if task.current_revision else NEW_PIPELINE,
        "timeout": duration_text(task.timeout) if task.timeout else "",
        "pause_after_failures": task.pause_after_failures,
        "rate_period": duration_text(task.rate_period) if task.rate_period else "",
        "keep_runs": task.keep_runs,
        "keep_for": duration_text(task.keep_for) if task.keep_for else "",
        "dedupe_window": duration_text(task.dedupe_window) if task.dedupe_window else "",
    }
