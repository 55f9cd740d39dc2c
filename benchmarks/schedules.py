"""What one firing costs to plan: the next occurrence of a mixed population of rules, young and ten years old.

The budget is 40 microseconds at the median (engine room, rule 29); a clock that fires 100,000 schedules in ten seconds
has no more to spend.
"""

import statistics
from collections.abc import Callable
from datetime import UTC, datetime

from benchmarks.report import Report, median_microseconds
from scheduling.core.recurrence import Recurrence, Rule, compile_rule

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


def run(report: Report) -> None:
    medians = []
    for name, rules in _POPULATION.items():
        costs = [median_microseconds(_stepper(compile_rule(rule))) for rule in rules]
        report.value(f"next occurrence, {name}", statistics.median(costs), "µs")
        medians += costs
    report.value("next occurrence, all", statistics.median(medians), "µs")


def _stepper(recurrence: Recurrence) -> Callable[[], None]:
    """Each call plans the occurrence after the one before, as firing does; the same one again may be cached."""
    at = _NOW

    def step() -> None:
        nonlocal at
        at = recurrence.next_after(at) or _NOW

    return step
