"""What one firing costs to plan: the next occurrence of a mixed population of rules, young, ten years old and hostile.

The budgets are 40 microseconds at the median (engine room, rule 29; a clock that fires 100,000 schedules in ten seconds
has no more to spend) and 20 milliseconds at worst.
"""

import statistics

from benchmarks.population import POPULATION, costs_of
from benchmarks.report import Report
from scheduling.core.recurrence import compile_rule

MEDIAN_BUDGET = 40.0
"""Microseconds."""
WORST_BUDGET = 20.0
"""Milliseconds."""


def run(report: Report) -> None:
    everything: list[float] = []
    for name, rules in POPULATION.items():
        costs = [cost for rule in rules for cost in costs_of(compile_rule(rule))]
        report.value(f"next occurrence, {name}", statistics.median(costs), "µs")
        everything += costs
    report.value("next occurrence, all", statistics.median(everything), f"µs (budget {MEDIAN_BUDGET:.0f})")
    report.value("next occurrence, the worst", max(everything) / 1000, f"ms (budget {WORST_BUDGET:.0f})")
