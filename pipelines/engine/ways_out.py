"""The ways out of a run that are no errors of a step: no catch, retry or tolerance sees them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pipelines.engine.ports import Question
from pipelines.errors import PipelineError


class WayOut(Exception):
    """Leaves every container."""


class Succeed(WayOut):
    """A `succeed` ends the run well, with these outputs; None: with the document's."""

    def __init__(self, outputs: Mapping[str, Any] | None) -> None:
        self.outputs = outputs


class RunOver(WayOut):
    """The run may go no further, for this error. Lists that run last still run."""

    def __init__(self, error: PipelineError) -> None:
        self.error = error


class Park(WayOut):
    """The step at `path` waits until `until`: nothing runs here any more, not even what runs last. One that has `asked`
    goes on with the run's next claim and not before, since that brings the answer."""

    def __init__(self, until: datetime, path: str, *, asked: bool = False) -> None:
        self.until = until
        self.path = path
        self.asked = asked


class Wait(WayOut):
    """The attempt is not over before `until`: a short wait is waited out here, for a longer one the run parks. For the
    answer to a `question` it always parks."""

    def __init__(self, until: datetime, question: Question | None = None) -> None:
        self.until = until
        self.question = question


class Stopped(WayOut):
    """This branch is given up: nothing more is started in it but what runs last, whose own `failure` it has."""

    def __init__(self, failure: PipelineError | None = None) -> None:
        self.failure = failure
