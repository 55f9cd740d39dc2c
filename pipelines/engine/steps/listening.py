"""Waiting for an event. Who answers judges the filter over what this step says of the run, and says when the time is
over, after everything that was stored before has been judged (`docs/decisions/0012-events-and-runs-in-a-run.md`)."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from pipelines.document.encodable import NotEncodable, copy_through_json
from pipelines.document.limits import MAX_SNAPSHOT_BYTES, MAX_WAIT
from pipelines.document.moments import LAST_INSTANT, read_instant
from pipelines.document.nodes import EventBody
from pipelines.engine.attempts import Attempt
from pipelines.engine.names import instant_text
from pipelines.engine.ports import Question, QuestionKind
from pipelines.engine.questions import until_answered
from pipelines.engine.simulated import fixture_result
from pipelines.engine.values import holds
from pipelines.engine.ways_out import Wait
from pipelines.errors import ErrorClass, PipelineError
from pipelines.expressions import WHOLE
from pipelines.expressions.durations import format_duration
from scheduling.core.topics import patterns_of

_SIMULATED_ID = "simulated"


async def run_wait_for_event(body: EventBody, attempt: Attempt) -> Any:
    """The event, or null where the time-out may be so. Raises Wait until there is one, and PipelineError for a time-out
    and where the filter cannot be judged."""
    if attempt.begun is None:
        until = attempt.ends_after(body.timeout, f"{attempt.step.pointer}/wait_for_event/timeout")
        condition = None if body.condition is None else body.condition.text
        attempt.input = {"topic": body.topic, "filter": condition, "until": instant_text(until)}
    if attempt.surroundings.context.simulated:
        event = await _simulated_event(body, attempt)
    else:
        event = _event(body, attempt)
    if event is None and not body.is_content_without:
        took = format_duration(MAX_WAIT if body.timeout is None else body.timeout)
        raise PipelineError("timeout", ErrorClass.TIMEOUT, f"no event of {body.topic} has come within {took}")
    return event


def _event(body: EventBody, attempt: Attempt) -> Any:
    """What has come; None where the time for it is over."""
    until = read_instant(attempt.input["until"])
    answers = attempt.surroundings.answers
    answer = answers.to(attempt.path, attempt.number)
    if answer is None and body.timeout is None and answers.are_final(until):
        return None
    if answer is None:
        begins = attempt.begun is None
        asks = {
            "topic": body.topic,
            "filter": attempt.input["filter"],
            "names": _snapshot(body, attempt) if begins else {},
            "buffered": body.buffered.total_seconds(),
            "pointer": _filter_pointer(attempt),
        }
        ends = None if body.timeout is None else until
        question = Question(kind=QuestionKind.EVENT, until=ends, asks=asks, topic=body.topic)
        raise Wait(until_answered(until, attempt.surroundings.clock.now()), question)
    if "error" in answer:
        raise PipelineError.of(answer["error"])
    return answer.get("event")


def _snapshot(body: EventBody, attempt: Attempt) -> dict[str, Any]:
    """What the filter reads of the run, of `steps` and the like only the members that it names."""
    names = attempt.names
    references = [] if body.condition is None else body.condition.references
    roots = {reference.root for reference in references}
    if WHOLE in roots:
        found = dict(names)
    else:
        found = {}
        for reference in references:
            root, member = reference.root, reference.member
            value = names.get(root)
            if member is None or not isinstance(value, Mapping):
                found[root] = value
            elif member in value and found.get(root) is not value:
                found.setdefault(root, {})[member] = value[member]
        for root in roots & names.keys():
            found.setdefault(root, {})
    found.pop("event", None)
    try:
        copy, size = copy_through_json(found)
    except NotEncodable as error:
        raise _too_much(attempt, error.fault.reason) from error
    if size > MAX_SNAPSHOT_BYTES:
        raise _too_much(attempt, f"what it reads has {size} bytes as JSON; {MAX_SNAPSHOT_BYTES} are allowed")
    return dict(copy)


def _too_much(attempt: Attempt, why: str) -> PipelineError:
    return PipelineError(
        code="too_large",
        error_class=ErrorClass.LIMIT,
        detail=f"the filter is kept with what it reads of the run, and {why}",
        pointer=_filter_pointer(attempt),
    )


def _filter_pointer(attempt: Attempt) -> str:
    return f"{attempt.step.pointer}/wait_for_event/filter"


async def _simulated_event(body: EventBody, attempt: Attempt) -> Any:
    """What the fixture says; without one, and where its output is null, no event comes."""
    attempt.is_simulated = True
    timeout = MAX_WAIT if body.timeout is None else body.timeout
    fixture, clock = attempt.fixture, attempt.fixture_clock
    if fixture is None or (fixture.error is None and fixture.delay > timeout):
        return await _nothing(timeout, attempt)
    pointer = f"{attempt.step.pointer}/simulate"
    output = await fixture_result(fixture, attempt.names, pointer, timeout=None, clock=clock)
    if output is None:
        return await _nothing(timeout - fixture.delay, attempt)
    if not isinstance(output, Mapping):
        raise _unfit(pointer, "the fixture of an event is {topic: ..., payload: {...}}")
    event = {
        "id": output.get("id", _SIMULATED_ID),
        "topic": output.get("topic", body.topic),
        "payload": output.get("payload", {}),
        "at": output.get("at", instant_text(attempt.surroundings.clock.now())),
    }
    if not isinstance(event["topic"], str) or body.topic not in (event["topic"], *patterns_of(event["topic"])):
        raise _unfit(pointer, f"the fixture's topic {event['topic']!r} does not match {body.topic}")
    if body.condition is not None:
        seen = {**attempt.names, "event": event}
        if not holds(body.condition, seen, _filter_pointer(attempt)):
            raise _unfit(pointer, "the filter does not hold for the fixture's event")
    return event


async def _nothing(length: timedelta, attempt: Attempt) -> None:
    clock = attempt.fixture_clock
    if clock is not None:
        await clock.sleep(min(length, LAST_INSTANT - clock.now()))


def _unfit(pointer: str, detail: str) -> PipelineError:
    return PipelineError(code="output_schema", error_class=ErrorClass.VALIDATION, detail=detail, pointer=pointer)
