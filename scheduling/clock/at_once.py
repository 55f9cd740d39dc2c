"""Plans that one statement writes, however many they are: the way of most starts (`scheduling.runs.plain`)."""

from collections.abc import Sequence

from scheduling.clock import session
from scheduling.clock.planned import PassResult, Planned
from scheduling.clock.points import reach
from scheduling.postgres import binary_cursor
from scheduling.runs.admission import lock_free_tasks
from scheduling.runs.plain import PlainStart, fire_alone, fire_plain


def fire_plain_plans(planned: Sequence[Planned], *, only_when_due: bool = False) -> PassResult:
    """Fire schedules that leave nothing to decide, by one statement, which is the whole transaction. `only_when_due`:
    those alone that have just become due by the database's clock."""
    starts = [_start(item) for item in planned]
    with session.single_statement() as cursor:
        fired = fire_plain(cursor, starts, only_when_due=only_when_due)
    reach("after-commit")
    return PassResult(runs=fired.runs, lost=len(planned) - fired.schedules)


def fire_alone_plans(planned: Sequence[Planned]) -> PassResult:
    """Fire schedules of exclusive tasks, at most one of each task, as long as nothing of the task is live or waits; the
    others are `undecided`. Tasks that somebody holds are passed over. One transaction: it locks the tasks first."""
    with session.bounded(), binary_cursor() as cursor:
        held = lock_free_tasks(cursor, [item.schedule.task_id for item in planned])
        free = [item for item in planned if item.schedule.task_id not in held]
        reach("after-lock-alone")
        fired = fire_alone(cursor, [_start(item) for item in free])
        reach("before-commit-alone")
    reach("after-commit")
    return PassResult(
        runs=fired.runs,
        lost=len(free) - fired.schedules - len(fired.undecided),
        stepped_over=len(planned) - len(free),
        held=held,
        undecided=fired.undecided,
    )


def _start(item: Planned) -> PlainStart:
    return PlainStart(
        schedule_id=item.schedule.id,
        version=item.schedule.version,
        scheduled_for=item.plan.fire[0].scheduled_for,
        available_at=item.plan.fire[0].available_at,
        next_fire_at=item.plan.next_fire_at,
    )
