"""What is due next, read and planned before it is due: at its instant one statement is left to send.

Only for a few plain schedules (`planned.Lane.PLAIN`) that the clock is about to sleep for. Everything else, and what
goes wrong here, is the business of the pass that follows at once: a mark that was not moved is still due. The statement
asks the database's clock whether the instant has come, and a version that has changed meanwhile voids the plan.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from scheduling.clock import metrics, session
from scheduling.clock.at_once import fire_plain_plans
from scheduling.clock.due import DueSchedule, read_due
from scheduling.clock.faults import fault_of
from scheduling.clock.firing import plan_schedule
from scheduling.clock.horizon import Horizon
from scheduling.clock.planned import Lane, PassResult, Planned
from scheduling.clock.points import reach
from scheduling.core.recurrence import ScheduleError
from scheduling.runs.plain import FEW

logger = structlog.get_logger(__name__)

# Seconds to the instant under which there is no time to prepare.
SHORTEST = 0.005
# A few rows: what takes longer is for the pass, which has the whole limit and finds out whose it is.
A_MOMENT = timedelta(seconds=0.5)


def plan_ahead(at: datetime, *, stepped_over: Sequence[UUID] = (), horizon: Horizon | None = None) -> list[Planned]:
    """The plain schedules whose mark is `at` or earlier, planned as a pass at `at` would; none where they are more than
    a statement whose plan is kept may fire: a batch is the pass's."""
    due = read_due(now=at, batch=FEW + 1, stepped_over=stepped_over, horizon=horizon)
    if len(due) > FEW:
        return []
    plans = [planned for schedule in due if (planned := _planned(schedule)) is not None]
    reach("ahead-planned")
    return plans


def _planned(schedule: DueSchedule) -> Planned | None:
    if not schedule.is_plain:
        return None
    try:
        planned = Planned(schedule, plan_schedule(schedule))
    except ScheduleError:
        return None  # the pass meets it again when it is due, and sets it aside with its reason
    except Exception:
        logger.exception("schedule.not_planned_ahead", schedule=str(schedule.id))
        return None
    return planned if planned.lane is Lane.PLAIN and not planned.is_stray else None


@contextmanager
def ready(planned: Sequence[Planned]) -> Iterator[None]:
    """In this block all that `fire_ahead` needs but its statement has been sent; wait for the instant in it."""
    if not planned:
        yield
        return
    with session.searching(A_MOMENT), session.kept():
        yield


def fire_ahead(planned: Sequence[Planned]) -> PassResult:
    """Fire what is due by now and has not changed. Errors of the connection and of the server are the caller's; those
    that concern one schedule are told and left to the pass, which finds out whose they are."""
    reach("ahead-due")
    try:
        with session.searching(A_MOMENT):
            return fire_plain_plans(planned, only_when_due=True)
    except Exception as error:
        fault = fault_of(error)
        if fault.is_everywhere:
            raise
        metrics.FAULTS.labels(fault.value).inc()
        logger.warning("clock.not_fired_ahead", schedules=len(planned), fault=fault, detail=str(error).strip()[:300])
        return PassResult()
