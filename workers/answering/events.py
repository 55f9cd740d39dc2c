"""Events for the runs that wait for them.

An event that is not matched yet is judged for all that wait for its topic; a question that is new is judged over all
events of its run's lifetime. Of the two whichever is committed later is judged when both can be seen.
"""

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Min, Q, QuerySet

from pipelines.engine.names import instant_text
from pipelines.engine.paths import shown_path
from pipelines.errors import ErrorClass, PipelineError
from scheduling.clock.tries import Tries
from scheduling.core.topics import patterns_of
from scheduling.events.models import Event
from scheduling.ids import first_id_at
from scheduling.ports import pipeline_port
from workers.answering.answers import OPEN, Answer
from workers.models import Question

PAGE = 500
# An id tells when it was made by the clock of a host, an event's time is the database's.
_SKEW = timedelta(minutes=10)
_INDICES = re.compile(r"\[[^\]]*\]")


@dataclass
class Progress:
    """How far this process has come with what one turn was too short for; whoever starts anew begins anew."""

    events: dict[UUID, UUID] = field(default_factory=dict)  # of an event, the last question
    questions: dict[UUID, UUID] = field(default_factory=dict)  # of a question, the last event
    tries: Tries = field(default_factory=Tries, compare=False)  # questions whose run could not be started in time


@dataclass
class Matching:
    """One turn's judging, until `over_at` (monotonic seconds). Reads, and writes nothing.

    `answers` were found; `events` are done with once these are given: of each the questions that it answers. `looked`
    are questions that were judged over all of the past, of which those without an answer are pending no more. However
    short the time, something is judged, so that turns come to an end.
    """

    progress: Progress
    over_at: float
    answers: dict[UUID, Answer] = field(default_factory=dict)
    events: dict[UUID, set[UUID]] = field(default_factory=dict)
    looked: list[UUID] = field(default_factory=list)
    is_over: bool = False
    _taken: set[tuple[UUID, str, UUID]] = field(default_factory=set)

    def judge_the_past(self) -> None:
        """New questions, those first that wait for longest."""
        asked = Question.objects.filter(OPEN, kind=Question.Kind.EVENT, is_pending=True)
        for question in asked.select_related("run").order_by("pk")[:PAGE]:
            if self._judge_its_past(question):
                self.looked.append(question.pk)
            if self._has_no_time():
                return

    def judge_what_came(self) -> None:
        """Events that nobody has judged, in the order in which they were made."""
        for event in Event.objects.filter(is_unmatched=True).order_by("pk")[:PAGE]:
            if not self._judge_event(event) or self._has_no_time():
                return

    def _has_no_time(self) -> bool:
        self.is_over = self.is_over or time.monotonic() > self.over_at
        return self.is_over

    def _judge_its_past(self, question: Question) -> bool:
        """False where the time was not enough."""
        for event in _past_of(question, behind=self.progress.questions.get(question.pk)):
            if self._settles(question, event):
                break
            self.progress.questions[question.pk] = event.pk
            if self._has_no_time():
                return False
        self.progress.questions.pop(question.pk, None)
        return True

    def _judge_event(self, event: Event) -> bool:
        answered: set[UUID] = set()
        behind = self.progress.events.get(event.pk)
        waiting = Question.objects.filter(OPEN, kind=Question.Kind.EVENT, topic__in=patterns_of(event.topic))
        while page := list(_behind(waiting.select_related("run").order_by("pk"), behind)[:PAGE]):
            for question in page:
                if question.pk not in self.answers and self._settles(question, event):
                    answered.add(question.pk)
                behind = question.pk
            if len(page) < PAGE:
                break
            if self._has_no_time():
                self.progress.events[event.pk] = behind  # type: ignore[assignment]
                return False
        self.progress.events.pop(event.pk, None)
        self.events[event.pk] = answered
        return True

    def _settles(self, question: Question, event: Event) -> bool:
        """Whether the event is the question's answer, or shows that there can be none."""
        if not _may_answer(question, event):
            return False
        shown = {
            "id": str(event.pk),
            "topic": event.topic,
            "payload": event.payload,
            "at": instant_text(event.created_at),
        }
        answer = _judged(question, shown)
        if answer is None:
            return False
        step = _step_of(question)
        if (question.run_id, step, event.pk) in self._taken or _was_taken(question, step, event):
            return False
        self._taken.add((question.run_id, step, event.pk))
        self.answers[question.pk] = Answer(question=question, content=answer, subject_id=event.pk)
        return True


def expired(now: datetime) -> list[Answer]:
    """Of those whose time is over, and that no event of before the end can answer any more, that it is."""
    over = Question.objects.filter(OPEN, kind=Question.Kind.EVENT, until__lte=now, is_pending=False)
    unmatched = Event.objects.filter(is_unmatched=True).aggregate(first=Min("created_at"))["first"]
    if unmatched is not None:
        over = over.filter(until__lte=unmatched)
    return [
        Answer(question=question, content={"expired": True}, outcome=Question.Outcome.EXPIRED)
        for question in over.order_by("until")[:PAGE]
    ]


def _may_answer(question: Question, event: Event) -> bool:
    """Whether it lies in the run's lifetime, or shortly before, and in the time that the step waits."""
    since = question.run.created_at - timedelta(seconds=question.asks.get("buffered", 0))
    return since <= event.created_at and (question.until is None or event.created_at < question.until)


def _judged(question: Question, event: Mapping[str, Any]) -> dict[str, Any] | None:
    """The answer that the event gives: itself, or the error of a filter that cannot be judged over it, or none."""
    condition = question.asks.get("filter")
    if condition:
        try:
            if not pipeline_port().is_true(condition, {**question.asks["names"], "event": event}):
                return None
        except ValueError as error:
            problem = next(iter(getattr(error, "problems", ())), None)
            failure = PipelineError(
                code="expression" if problem is None else problem.code,
                error_class=ErrorClass.EXPRESSION,
                detail=f"the filter cannot be judged over the event {event['id']} of {event['topic']}: {error}",
                pointer=question.asks.get("pointer"),
            )
            return {"error": failure.as_dict()}
    return {"event": dict(event)}


def _past_of(question: Question, *, behind: UUID | None) -> Iterator[Event]:
    """The events that may answer a question, in the order in which they were made."""
    since = question.run.created_at - timedelta(seconds=question.asks.get("buffered", 0))
    stored = Event.objects.filter(
        _matching(question.topic), pk__gte=first_id_at(since - _SKEW), created_at__gte=since, simulated=False
    )
    while page := list(_behind(stored.order_by("pk"), behind)[:PAGE]):
        yield from page
        behind = page[-1].pk


def _matching(pattern: str) -> Q:
    """Topics that match a pattern of `scheduling.core.topics`, as the database reads it."""
    if "*" not in pattern:
        return Q(topic=pattern)
    words = {"*": "[^.]+", "**": r"[^.]+(\.[^.]+)*"}
    return Q(topic__regex="^" + r"\.".join(words.get(word, re.escape(word)) for word in pattern.split(".")) + "$")


def _behind(rows: QuerySet[Any], pk: UUID | None) -> QuerySet[Any]:
    return rows if pk is None else rows.filter(pk__gt=pk)


def _step_of(question: Question) -> str:
    """The step that asks, whatever iteration or attempt of it."""
    return _INDICES.sub("", shown_path(question.path)).rpartition(".")[2]


def _was_taken(question: Question, step: str, event: Event) -> bool:
    """Whether this step has had this event before: in a loop it goes on to the next one."""
    others = Question.objects.filter(run_id=question.run_id, subject_id=event.pk).exclude(pk=question.pk)
    return any(_step_of(other) == step for other in others)


def done_with(matching: Matching, settled: Sequence[UUID] | set[UUID]) -> None:
    """Note what has been judged: events all of whose answers are settled, and questions whose past has none. Requires
    the transaction that gives the answers."""
    events = [pk for pk, answered in matching.events.items() if answered <= set(settled)]
    Event.objects.filter(pk__in=events).update(is_unmatched=False)
    without = [pk for pk in matching.looked if pk not in matching.answers]
    Question.objects.filter(OPEN, pk__in=without).update(is_pending=False)
