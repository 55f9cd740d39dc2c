"""How a schedule's own pause ends: by somebody who resumes it, or by itself.

Both require a transaction that holds the schedule's row, write it with its next version, and leave an audit entry.
"""

from datetime import datetime
from typing import Any

from scheduling.audit.operations import Actor, save_changes
from scheduling.audit.snapshots import snapshot
from scheduling.core.recurrence import ScheduleError
from scheduling.schedules.accounts import account_for_pause, last_paused
from scheduling.schedules.models import Schedule, ScheduleState
from scheduling.schedules.rules import activate
from scheduling.wakeup import SCHEDULES_CHANNEL, after_commit


def resume(*, actor: Actor, schedule: Schedule, last: datetime) -> Schedule:
    """Fire again after `last`. While its task is paused the schedule stays held, and the count of what passed is made
    when the task resumes. ScheduleError where the rule cannot be understood; nothing is written then.

    Where the task's snooze was over by `last`, and nobody has ended it yet, it holds the schedule no longer: its end
    would count no further than itself, and what came since would fire.

    One that came to its end while it was paused is completed.
    """
    before, was_quarantined = snapshot(schedule), schedule.state == ScheduleState.QUARANTINED
    activate(schedule)
    of_task = schedule.task.paused_until
    if of_task is not None and of_task <= last:
        schedule.held_at = None
    if schedule.held_at is None:
        account_for_pause(schedule, now=last, is_anew=was_quarantined)
    return save(actor=actor, action="schedule.resume", schedule=schedule, before=before)


def end_snooze_if_over(schedule: Schedule, *, now: datetime) -> None:
    """Do what the clock does with a snooze that is over, for whoever comes to it first: it ended at its own instant.

    A schedule that cannot be planned any more is set aside with its reason, so that it does not come back every second.
    """
    if schedule.paused_until is None or schedule.paused_until > now:
        return
    clock, before = Actor.system("clock"), snapshot(schedule)
    try:
        resume(actor=clock, schedule=schedule, last=last_paused(schedule.paused_until, now=now))
    except ScheduleError as error:
        schedule.state, schedule.paused_until = ScheduleState.QUARANTINED, None
        schedule.state_reason = f"{error.code}: {error.detail}"[:500]
        save(actor=clock, action="schedule.quarantine", schedule=schedule, before=before)


def save(*, actor: Actor, action: str, schedule: Schedule, before: dict[str, Any]) -> Schedule:
    """Write what has changed, and have clocks look at it."""
    if save_changes(actor=actor, action=action, target=schedule, before=before):
        after_commit(SCHEDULES_CHANNEL)
    return schedule
