"""A mixed population of rules: what people write, young and ten years old, and what somebody hostile would."""

import time
from datetime import UTC, datetime

from scheduling.core.recurrence import Recurrence, Rule

NOW = datetime(2026, 3, 28, 12, 0, tzinfo=UTC)
_YOUNG = datetime(2026, 1, 1)
_OLD = datetime(2016, 1, 1)
_ZONES = ("UTC", "Europe/Chisinau", "America/New_York", "Australia/Lord_Howe")

_CRON = ("0 8 * * 1-5", "*/5 * * * *", "30 2 L * *", "0 9 15W * *", "0 0 13 * 5", "0 12 * * MON#2", "0 0 29 2 *")
_RRULES = (
    "FREQ=DAILY",
    "FREQ=DAILY;INTERVAL=3;BYHOUR=1,2",
    "FREQ=WEEKLY;BYDAY=MO,FR",
    "FREQ=WEEKLY;INTERVAL=2;BYDAY=TU,SU;WKST=SU",
    "FREQ=MONTHLY;BYDAY=-1FR",
    "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1",
    "FREQ=MONTHLY;BYMONTHDAY=31",
    "FREQ=YEARLY",
    "FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO",
    "FREQ=HOURLY",
    "FREQ=HOURLY;INTERVAL=5;BYMINUTE=10,40",
    "FREQ=MINUTELY;INTERVAL=7",
    "FREQ=MINUTELY;INTERVAL=15;BYHOUR=9,10,11;BYDAY=MO",
    "FREQ=SECONDLY;INTERVAL=30",
)
_HOSTILE = (
    "FREQ=SECONDLY;BYMONTH=2;BYDAY=MO",
    "FREQ=SECONDLY;INTERVAL=7;BYHOUR=3",
    "FREQ=SECONDLY;INTERVAL=61;BYMONTH=2;BYMONTHDAY=29;BYHOUR=3;BYMINUTE=7",
    "FREQ=SECONDLY;INTERVAL=9973;BYHOUR=3;BYMINUTE=7;BYSECOND=1",
    "FREQ=SECONDLY;INTERVAL=86399;BYHOUR=0,1,2,3,4,5,6",
    "FREQ=SECONDLY;COUNT=999999999",
    "FREQ=MINUTELY;INTERVAL=1441;BYMONTH=2;BYMONTHDAY=29;BYHOUR=3",
    "FREQ=MINUTELY;INTERVAL=7;BYDAY=MO;COUNT=1000000",
    "FREQ=MINUTELY;INTERVAL=999999999",
    "FREQ=HOURLY;INTERVAL=23;BYMONTH=2;BYMONTHDAY=29",
    "FREQ=DAILY;INTERVAL=365;BYMONTH=2;BYMONTHDAY=29",
    "FREQ=WEEKLY;INTERVAL=53;BYMONTH=2;BYDAY=MO",
    "FREQ=MONTHLY;INTERVAL=11;BYDAY=FR;BYMONTHDAY=13",
    "FREQ=YEARLY;INTERVAL=99;BYWEEKNO=53;BYDAY=SU",
    "FREQ=YEARLY;BYDAY=MO;BYSETPOS=53",
    "FREQ=YEARLY;BYYEARDAY=366;BYDAY=SU;BYHOUR=0;BYSETPOS=1",
)


def _of(kind: str, expressions: tuple[str, ...], starts_at: datetime) -> list[Rule]:
    """Each expression in each zone."""
    return [
        Rule(kind=kind, expression=text, timezone=zone, starts_at=starts_at) for text in expressions for zone in _ZONES
    ]


POPULATION = {
    "cron": _of("cron", _CRON, _OLD),
    "rrule, young": _of("rrule", _RRULES, _YOUNG),
    "rrule, ten years old": _of("rrule", _RRULES, _OLD),
    "rrule, hostile": _of("rrule", _HOSTILE, _OLD),
    "interval": _of("interval", ("PT15M", "PT1H", "P1D"), _OLD),
}


def costs_of(recurrence: Recurrence, *, steps: int = 20, tries: int = 3) -> list[float]:
    """Microseconds of CPU of each of the next occurrences, one after the other as firing asks; the best of some tries.

    The best, because what a neighbour on the machine costs is no cost of the rule.
    """
    costs, at = [], NOW
    for _ in range(steps):
        measured = []
        for _ in range(tries):
            began = time.thread_time_ns()
            following = recurrence.next_after(at)
            measured.append((time.thread_time_ns() - began) / 1000)
        costs.append(min(measured))
        at = following or NOW
    return costs
