"""What one firing costs to plan: the next occurrence of a mixed population of rules, young and ten years old.

The budget is 40 microseconds at the median (engine room, rule 29); a clock that fires 100,000 schedules in ten seconds
has no more to spend.
"""

import statistics
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import orjson

from benchmarks.report import Report, median_microseconds
from scheduling.core.recurrence import Recurrence, Rule, ScheduleError, compile_rule
from scheduling.management.commands.previewschedule import answer_lines

_NOW = datetime(2026, 3, 28, 12, 0, tzinfo=UTC)
_YOUNG = datetime(2026, 1, 1)
_OLD = datetime(2016, 1, 1)
_POPULATION = {
    "cron": [
        Rule(kind="cron", expression="0 8 * * 1-5", timezone="Europe/Chisinau"),
        Rule(kind="cron", expression="*/5 * * * *", timezone="America/New_York"),
        Rule(kind="cron", expression="30 2 L * *", timezone="Europe/Paris"),
    ],
    "rrule, young": [
        Rule(kind="rrule", expression="FREQ=DAILY", timezone="Europe/Chisinau", starts_at=_YOUNG),
        Rule(kind="rrule", expression="FREQ=WEEKLY;BYDAY=MO,FR", timezone="Europe/Paris", starts_at=_YOUNG),
    ],
    "rrule, ten years old": [
        Rule(kind="rrule", expression="FREQ=DAILY", timezone="Europe/Chisinau", starts_at=_OLD),
        Rule(kind="rrule", expression="FREQ=MINUTELY;INTERVAL=7", timezone="Europe/Paris", starts_at=_OLD),
        Rule(kind="rrule", expression="FREQ=MONTHLY;BYDAY=-1FR", timezone="Asia/Tokyo", starts_at=_OLD),
    ],
    "several rules": [
        Rule(kind="cron", expression="0 8 * * 1-5\n0 10 * * 6", timezone="Europe/Chisinau"),
        Rule(
            kind="rrule",
            expression="FREQ=WEEKLY;BYDAY=MO,WE;BYHOUR=8\nFREQ=MONTHLY;BYMONTHDAY=-1;BYHOUR=17",
            timezone="Europe/Paris",
            starts_at=_OLD,
        ),
    ],
    "interval": [Rule(kind="interval", expression="PT15M", starts_at=_OLD)],
}
# Rules that only somebody who means harm writes: the budget is 20 ms at worst.
_HOSTILE = [
    "FREQ=YEARLY;INTERVAL=4;BYWEEKNO=53;BYDAY=MO;BYMONTHDAY=28",
    "FREQ=SECONDLY;BYMONTH=2;BYMONTHDAY=29;BYHOUR=3;BYMINUTE=7;BYSECOND=1",
    "\n".join(f"FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29;BYDAY={day}" for day in ("MO", "TU", "WE", "TH", "FR")),
]
# To be refused within 100 ms.
_IMPOSSIBLE = ["FREQ=DAILY;INTERVAL=7;BYDAY=MO", "FREQ=SECONDLY;INTERVAL=86399;BYHOUR=3;BYMINUTE=7;BYSECOND=9"]
_LINES = 3_000


def run(report: Report) -> None:
    medians = []
    for name, rules in _POPULATION.items():
        costs = [median_microseconds(_stepper(compile_rule(rule))) for rule in rules]
        report.value(f"next occurrence, {name}", statistics.median(costs), "µs")
        medians += costs
    report.value("next occurrence, all", statistics.median(medians), "µs")
    report.value("next occurrence, worst of hostile rules", max(_worst(text) for text in _HOSTILE), "ms")
    report.value("refusal of what never occurs, worst", max(_refusal(text) for text in _IMPOSSIBLE), "ms")
    report.value("previewschedule --jsonl, rules that differ", _lines_per_second(), "lines/s")


def _stepper(recurrence: Recurrence) -> Callable[[], None]:
    """Each call plans the occurrence after the one before, as firing does; the same one again may be cached."""
    at = _NOW

    def step() -> None:
        nonlocal at
        at = recurrence.next_after(at) or _NOW

    return step


def _worst(expression: str) -> float:
    """Milliseconds of the dearest of fifty steps."""
    step = _stepper(compile_rule(Rule(kind="rrule", expression=expression, starts_at=_OLD)))
    return max(_milliseconds(step) for _ in range(50))


def _refusal(expression: str) -> float:
    def compile_it() -> None:
        with suppress(ScheduleError):
            compile_rule(Rule(kind="rrule", expression=expression, starts_at=_OLD))

    return _milliseconds(compile_it)


def _lines_per_second() -> float:
    """Every line another rule, five occurrences each: nothing that was compiled serves twice."""
    forms = (
        "FREQ=DAILY;BYHOUR={hour}",
        "FREQ=WEEKLY;BYDAY=MO,FR;BYHOUR={hour}",
        "FREQ=MONTHLY;BYDAY=-1FR;BYHOUR={hour}",
    )
    lines = [
        orjson.dumps(
            {
                "kind": "rrule",
                "expression": forms[number % len(forms)].format(hour=number % 24),
                "timezone": ("Europe/Chisinau", "America/New_York", "UTC")[number % 7 % 3],
                "starts_at": (_OLD + timedelta(minutes=number)).isoformat(),
                "after": "2026-03-20T00:00:00Z",
            }
        )
        for number in range(_LINES)
    ]
    began = time.perf_counter()
    answered = sum(1 for _ in answer_lines(lines))
    return answered / (time.perf_counter() - began)


def _milliseconds(call: Callable[[], None]) -> float:
    began = time.perf_counter()
    call()
    return (time.perf_counter() - began) * 1000
