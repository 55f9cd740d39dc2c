"""`wait_for_event`: go on when something happens."""

from datetime import timedelta

from pipelines.document.kinds.base import StepKind, WrittenStep
from pipelines.document.nodes import EventBody
from pipelines.document.shape import object_of
from scheduling.core.topics import problem_of


def _compile(step: WrittenStep) -> EventBody | None:
    if not step.has("wait_for_event"):
        return None
    written = step.source["wait_for_event"]
    wrong = problem_of(written["topic"])
    if wrong is not None:
        step.compilation.refuse(step.place("wait_for_event", "topic"), "bad_topic", wrong, hint="order.* or order.paid")
    condition = None
    if "filter" in written:
        names = step.names.with_roots("event")
        condition = step.compilation.condition(written["filter"], step.place("wait_for_event", "filter"), names)
    timeout = step.compilation.longest_wait(step.source["wait_for_event"], step.place("wait_for_event"))
    on_timeout = written.get("on_timeout", "fail")
    if on_timeout == "continue" and "timeout" not in written:
        detail = "on_timeout says what comes of a time-out, and there is none"
        step.compilation.refuse(
            step.place("wait_for_event", "on_timeout"), "invalid_value", detail, hint="add timeout: PT1H"
        )
    return EventBody(
        topic=written["topic"],
        condition=condition,
        timeout=timeout,
        is_content_without=on_timeout == "continue",
        buffered=step.compilation.duration(written, "buffered", step.place("wait_for_event")) or timedelta(),
    )


WAIT_FOR_EVENT = StepKind(
    name="wait_for_event",
    keyword="wait_for_event",
    fields={
        "wait_for_event": object_of(
            {
                "topic": {
                    "type": "string",
                    "maxLength": 200,
                    "description": "A topic or a pattern: * for one word, ** at the end for all that follow.",
                },
                "filter": {
                    "type": ["string", "boolean"],
                    "description": "A condition over `event`, the candidate, and the names of the run.",
                },
                "timeout": {"type": "string", "description": "An ISO 8601 duration such as PT2H or P1D."},
                "on_timeout": {"enum": ["fail", "continue"], "default": "fail"},
                "buffered": {
                    "type": "string",
                    "description": "An ISO 8601 duration: events of so long before the run count, too.",
                },
            },
            required=["topic"],
        )
    },
    required=("wait_for_event",),
    compile=_compile,
    has_own_timeout=True,
)
