"""One of the lines of work of a run that go on side by side, and how it is stopped."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum, auto

from pipelines.engine.ways_out import Stopped


class Going(Enum):
    """ON: steps are started. STOPPING: none is, but what has begun is left in order, with what runs last. LOOKING: no
    step is started and nothing is written down; whoever would start one raises `Stopped`."""

    ON = auto()
    STOPPING = auto()
    LOOKING = auto()


class Branch:
    """What stops a line of work: whoever carries it out asks before each step whether it may start.

    Lists that run last are sheltered: they are carried out in a branch that is being stopped, and the cancellation of
    the task that carries it out waits for their end.
    """

    def __init__(self, going: Going = Going.ON) -> None:
        self._going = going
        self._shelters = 0
        self._is_cut_off = False
        self._task: asyncio.Task[object] | None = None

    @property
    def going(self) -> Going:
        return Going.ON if self._shelters and self._going is Going.STOPPING else self._going

    @property
    def is_stopped(self) -> bool:
        """True where a cancellation of its task is the doing of `stop`."""
        return self.going is Going.STOPPING and not self._is_cut_off

    @property
    def can_be_stopped(self) -> bool:
        return self._task is not None

    def carried_out_by(self, task: "asyncio.Task[object] | None") -> None:
        self._task = task

    def stop(self) -> None:
        """Start nothing more, and cut off what is at work unless that runs last."""
        self._going = Going.STOPPING
        if self._task is not None and not self._shelters:
            self._task.cancel()

    def cut_off(self) -> None:
        """From here on a cancellation of its task is taken as it is: nothing runs last any more."""
        self._is_cut_off = True

    @contextmanager
    def sheltered(self) -> Iterator[None]:
        self._shelters += 1
        try:
            yield
        finally:
            self._shelters -= 1


class stopping:  # noqa: N801 - a context manager, as those of contextlib, which cost a tenth of a short run
    """Turn the cancellation by which a branch is stopped into `Stopped`; any other passes."""

    __slots__ = ("_branch",)

    def __init__(self, branch: Branch) -> None:
        self._branch = branch

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if kind is not None and issubclass(kind, asyncio.CancelledError) and self._branch.is_stopped:
            calm_down()
            raise Stopped from None


def calm_down() -> None:
    """This task's cancellation has been understood: what it awaits from here on is not cut off for it."""
    task = asyncio.current_task()
    while task is not None and task.cancelling():
        task.uncancel()
