"""The attempts of one step so far, and the decision whether there is another."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from itertools import pairwise
from random import Random

from pipelines.document.moments import instant_after
from pipelines.document.nodes import RetryPolicy
from pipelines.engine.backoff import delay_after, least_delay_after
from pipelines.engine.ports import StepEntry, StepState
from pipelines.errors import PipelineError


class Tries:
    """The entries of one step, oldest first, one an attempt: a result replaces the intent of its attempt."""

    __slots__ = ("_entries",)

    def __init__(self, entries: Iterable[StepEntry] = ()) -> None:
        by_attempt = {entry.attempt: entry for entry in entries} if entries else {}
        self._entries = [by_attempt[attempt] for attempt in sorted(by_attempt)]

    def add(self, entry: StepEntry) -> None:
        if self._entries and self._entries[-1].attempt == entry.attempt:
            self._entries.pop()
        self._entries.append(entry)

    @property
    def last(self) -> StepEntry | None:
        return self._entries[-1] if self._entries else None

    @property
    def finished(self) -> StepEntry | None:
        """The entry whose result stands for ever."""
        for entry in self._entries:
            if entry.is_finished:
                return entry
        return None

    @property
    def was_started(self) -> bool:
        return bool(self._entries) and any(entry.state is not StepState.SKIPPED for entry in self._entries)

    def was_canceled_in(self, run_attempt: int) -> bool:
        """True where the last attempt was stopped, in that attempt of the run."""
        last = self.last
        return last is not None and last.state is StepState.CANCELED and last.run_attempt == run_attempt

    @property
    def next_attempt(self) -> int:
        return self._entries[-1].attempt + 1 if self._entries else 1

    @property
    def last_body(self) -> int:
        """Which body of a container the last attempt carried out, from 1: a try after a failure begins a new one,
        another attempt of the run goes on in the one that it finds."""
        return 1 + sum(
            before.state is StepState.FAILED and before.run_attempt == after.run_attempt
            for before, after in pairwise(self._entries)
        )

    def next_body(self, run_attempt: int) -> int:
        """The same for the attempt that comes next in this attempt of the run."""
        last = self.last
        begins_anew = last is not None and last.state is StepState.FAILED and last.run_attempt == run_attempt
        return self.last_body + begins_anew

    def next_due(
        self, policy: RetryPolicy, error: PipelineError, *, run_attempt: int, rng: Random | None
    ) -> datetime | None:
        """When the attempt after the last one, which ended with `error`, may start; None: there is none, also where
        the calendar ends before it.

        The budget counts the failures of this attempt of the run. Without `rng` the least delay is taken: the run is
        resumed, and the draw of the delay that it waited out is not kept.
        """
        entries = [entry for entry in self._entries if entry.run_attempt == run_attempt]
        failures = sum(entry.state is StepState.FAILED for entry in entries)
        if failures >= policy.max_attempts or not policy.covers(error_class=error.error_class, code=error.code):
            return None
        ended_at = entries[-1].finished_at
        if ended_at is None:
            raise ValueError(f"attempt {entries[-1].attempt} of {entries[-1].path} failed and has no end")
        delay = least_delay_after(policy, failures) if rng is None else delay_after(policy, failures, rng)
        try:
            due_at = instant_after(ended_at, max(delay, error.asked_wait))
        except ValueError:  # there is no instant for it
            return None
        first_start = next((entry.started_at for entry in entries if entry.started_at is not None), ended_at)
        if policy.max_elapsed is not None and due_at - first_start > policy.max_elapsed:
            return None
        return due_at


def group_by_path(history: Iterable[StepEntry]) -> defaultdict[str, Tries]:
    """The attempts of each step path; a path that has none gets an empty one."""
    grouped: defaultdict[str, Tries] = defaultdict(Tries)
    found: dict[str, list[StepEntry]] = {}
    for entry in history:
        found.setdefault(entry.path, []).append(entry)
    grouped.update({path: Tries(entries) for path, entries in found.items()})
    return grouped


def recorded_error(entry: StepEntry) -> PipelineError:
    """The error that a failed entry keeps."""
    return PipelineError.of(entry.error or {})
