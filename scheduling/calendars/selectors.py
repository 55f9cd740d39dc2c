"""Read calendars."""

from collections.abc import Container, Sequence
from uuid import UUID

from django.db.models import QuerySet

from scheduling.agents.models import Agent
from scheduling.calendars.exclusions import value_of
from scheduling.calendars.models import Calendar
from scheduling.core.recurrence import Exclusions
from scheduling.definitions.strict import did_you_mean
from scheduling.errors import NotValid, Problem


def visible_calendars(agent: Agent | None) -> QuerySet[Calendar]:
    """The agent's calendars; everybody's for None."""
    calendars = Calendar.objects.select_related("agent")
    return calendars if agent is None else calendars.filter(agent=agent)


def lock_named(agent_id: UUID, keys: Sequence[str]) -> list[UUID]:
    """The ids of the agent's calendars of these keys, their rows held until the transaction ends.

    Calendars are locked before tasks and schedules, everywhere. NotValid at `/calendars/N` for a key that is none.
    """
    wanted = list(dict.fromkeys(keys))
    if not wanted:
        return []
    rows = Calendar.objects.select_for_update(no_key=True).filter(agent_id=agent_id, key__in=wanted).order_by("pk")
    found = {calendar.key: calendar.pk for calendar in rows.only("pk", "key")}
    _require_all(agent_id, keys, found)
    return [found[key] for key in wanted]


def exclusions_named(agent_id: UUID, keys: Sequence[str]) -> tuple[Exclusions, ...]:
    """What the agent's calendars of these keys exclude, as they are now. NotValid as `lock_named`."""
    rows = Calendar.objects.filter(agent_id=agent_id, key__in=set(keys))
    found = {calendar.key: value_of(calendar) for calendar in rows}
    _require_all(agent_id, keys, found)
    return tuple(found[key] for key in dict.fromkeys(keys))


def _require_all(agent_id: UUID, keys: Sequence[str], found: Container[str]) -> None:
    problems = [_unknown(agent_id, key, at) for at, key in enumerate(keys) if key not in found]
    if problems:
        raise NotValid.because(problems)


def _unknown(agent_id: UUID, key: str, position: int) -> Problem:
    known = Calendar.objects.filter(agent_id=agent_id).order_by("key").values_list("key", flat=True)
    return Problem(
        pointer=f"/calendars/{position}",
        code="unknown_calendar",
        detail=f"The task's agent has no calendar {key!r}.",
        hint=did_you_mean(key, known) or "POST /api/v1/calendars makes one.",
    )
