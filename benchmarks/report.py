"""How benchmarks measure and print."""

import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Report:
    """Prints the figures of one benchmark, one a line."""

    benchmark: str
    as_json: bool = False

    def value(self, name: str, value: float, unit: str) -> None:
        if self.as_json:
            print(json.dumps({"benchmark": self.benchmark, "name": name, "value": value, "unit": unit}), flush=True)
        else:
            print(f"{self.benchmark:20} {name:50} {value:14,.3f} {unit}", flush=True)

    def fact(self, name: str, value: str) -> None:
        """Something about the machine or the server that a reader of the figures has to know."""
        if self.as_json:
            print(json.dumps({"benchmark": self.benchmark, "name": name, "fact": value}), flush=True)
        else:
            print(f"{self.benchmark:20} {name:50} {value:>14}", flush=True)


def median_microseconds(call: Callable[[], object], *, rounds: int = 9, calls: int = 200) -> float:
    """The median over rounds of the mean time of one call: calm against a neighbour's burst of work."""
    means = []
    for _ in range(rounds):
        started = time.perf_counter()
        for _ in range(calls):
            call()
        means.append((time.perf_counter() - started) / calls * 1e6)
    return statistics.median(means)
