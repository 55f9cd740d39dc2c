"""The timeline of a run: its steps as bars on one axis. Pure: rows in, figures out; the template draws."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from workers.models import StepRun

SCALE = 1000.0  # the axis, in units of the drawing
_LEAST_WIDTH = 4.0  # so that a step of a microsecond is seen


@dataclass(frozen=True, slots=True)
class Line:
    """One attempt of one step. `x` and `width` are on the axis; `offset` is from the start of the run."""

    step: StepRun
    offset: timedelta | None
    duration: timedelta | None
    x: float
    width: float

    @property
    def has_more(self) -> bool:
        """True where there is something to unfold."""
        step = self.step
        return any(value is not None for value in (step.input, step.output, step.error)) or bool(step.output_artifact)

    @property
    def may_begin(self) -> bool:
        """True for the first attempt of a step that a replay may begin from: none in a loop."""
        return self.step.attempt == 1 and "[" not in self.step.path and "~" not in self.step.path


def timeline(steps: Sequence[StepRun], *, started_at: datetime | None, now: datetime) -> list[Line]:
    """The steps in the order of their starts. A step that has not ended reaches to `now`."""
    begun = [step.started_at for step in steps if step.started_at]
    origin = min([*begun, started_at] if started_at else begun, default=None)
    if origin is None:
        return [Line(step, None, None, 0.0, 0.0) for step in steps]
    ends = [_end(step, now) or origin for step in steps]
    span = max(*ends, origin + timedelta(milliseconds=1)) - origin if ends else timedelta(milliseconds=1)
    return [_line(step, origin, span, now) for step in steps]


def _line(step: StepRun, origin: datetime, span: timedelta, now: datetime) -> Line:
    end = _end(step, now)
    if step.started_at is None or end is None:
        return Line(step, None, None, 0.0, 0.0)
    offset, duration = step.started_at - origin, end - step.started_at
    width = max(_LEAST_WIDTH, round(SCALE * (duration / span), 1))
    x = round(min(SCALE * (offset / span), SCALE - width), 1)
    return Line(step, offset, duration, max(x, 0.0), width)


def _end(step: StepRun, now: datetime) -> datetime | None:
    if step.started_at is None:
        return None
    return step.finished_at or max(now, step.started_at)
