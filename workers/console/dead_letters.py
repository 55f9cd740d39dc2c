"""Dead letters: failed runs that nobody has retried, gathered by their error, to be retried together."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from django.db.models import QuerySet

from scheduling.runs.models import Run
from scheduling.runs.states import RunState

# The newest ones. Grouping reads every error, so it is bounded; the list of runs has the rest.
_MOST_READ = 1000
_TASKS_NAMED = 3
_LISTED = 50
RETRIED_AT_ONCE = 200


@dataclass(slots=True)
class DeadGroup:
    """Failed runs with the same error code, newest first: all of them simulated, or none."""

    code: str
    cause: str
    sample: str
    latest_at: datetime | None
    latest_id: UUID
    simulated: bool
    count: int = 0
    tasks: dict[UUID, str] = field(default_factory=dict)

    @property
    def tasks_named(self) -> list[tuple[UUID, str]]:
        return list(self.tasks.items())[:_TASKS_NAMED]

    @property
    def tasks_left_out(self) -> int:
        return max(0, len(self.tasks) - _TASKS_NAMED)


def dead_groups() -> tuple[list[DeadGroup], bool]:
    """The groups, the greatest first, and whether there are more dead letters than were read. One statement."""
    rows = list(_newest_dead()[: _MOST_READ + 1])
    groups: dict[tuple[str, str, bool], DeadGroup] = {}
    for run in rows[:_MOST_READ]:
        code = error_code(run)
        group = groups.setdefault(
            (code, run.cause, run.simulated),
            DeadGroup(
                code=code,
                cause=run.cause,
                sample=_detail(run),
                latest_at=run.finished_at,
                latest_id=run.pk,
                simulated=run.simulated,
            ),
        )
        group.count += 1
        group.tasks[run.task_id] = run.task.title
    found = sorted(groups.values(), key=lambda group: (-group.count, group.code, group.simulated))
    return found, len(rows) > _MOST_READ


def dead_runs(*, code: str, cause: str, simulated: bool) -> Sequence[Run]:
    """The runs of one group, newest first, as many as are retried at once."""
    group = (code, cause, simulated)
    same = (run for run in _newest_dead()[:_MOST_READ] if (error_code(run), run.cause, run.simulated) == group)
    return [run for run, _ in zip(same, range(RETRIED_AT_ONCE), strict=False)]


def newest_dead() -> Sequence[Run]:
    """The newest ones, to choose from by hand."""
    return list(_newest_dead()[:_LISTED])


def error_code(run: Run) -> str:
    """The error's stable code; a run that failed without an error has its cause."""
    error = run.error if isinstance(run.error, dict) else {}
    return str(error.get("code") or run.cause)


def _newest_dead() -> QuerySet[Run]:
    rows = Run.objects.filter(state=RunState.FAILED).select_related("task").order_by("-id")
    return rows.only("id", "cause", "error", "finished_at", "state", "simulated", "task__id", "task__title", "params")


def _detail(run: Run) -> str:
    return str(run.error.get("detail", "")) if isinstance(run.error, dict) else ""
