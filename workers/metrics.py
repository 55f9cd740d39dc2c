"""What a worker host tells Prometheus: the sums of what its processes report with their pulse."""

from collections.abc import Iterator, Mapping
from typing import Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from workers.bloat import Bloat, BloatWatch
from workers.links import Link
from workers.retention.turns import Retention
from workers.tally import Tally, added, metrics


class Keeps(Protocol):
    @property
    def links(self) -> list[Link]: ...

    @property
    def bloat(self) -> BloatWatch: ...

    @property
    def past_counts(self) -> Tally: ...

    @property
    def recycled(self) -> Mapping[str, float]: ...

    @property
    def retention(self) -> Retention: ...


class HostCollector(Collector):
    """Reads the links at each scrape. Counts of processes that have ended stay in the sums."""

    def __init__(self, keeper: Keeps) -> None:
        self._keeper = keeper

    def collect(self) -> Iterator[Metric]:
        links = list(self._keeper.links)
        living = [link.report for link in links if link.boot_id is not None]
        yield _gauge("ordinaut_worker_processes", "Worker processes of this host.", len(living))
        yield _gauge("ordinaut_worker_runs", "Runs in slots.", sum(report.get("running", 0) for report in living))
        yield _gauge("ordinaut_worker_free_slots", "Free slots.", sum(report.get("free", 0) for report in living))
        yield _gauge(
            "ordinaut_worker_loop_lag_seconds",
            "By how much the slowest event loop was late.",
            max((report.get("lag", 0.0) for report in living), default=0.0),
        )
        yield _counter(
            "ordinaut_worker_recycled", "Processes that were replaced, by reason.", "reason", self._keeper.recycled
        )
        yield _gauge(
            "ordinaut_worker_memory_bytes",
            "Resident memory of the largest process.",
            max((link.wear.memory or 0 for link in links), default=0),
        )
        yield from bloat_metrics(self._keeper.bloat.latest)
        past = [self._keeper.past_counts, *(link.past_counts for link in links)]
        yield _counter(
            "ordinaut_retention_deleted",
            "Rows that this host deleted, by kind.",
            "kind",
            self._keeper.retention.deleted,
        )
        yield from metrics(added([*past, *(report.get("counts", {}) for report in living)]))


def bloat_metrics(bloat: Bloat | None) -> Iterator[Metric]:
    """Dead rows by table, and the age of who holds them; nothing before the first look."""
    if bloat is None:
        return
    dead = GaugeMetricFamily("ordinaut_dead_tuples", "Dead rows of a hot table.", labels=["table"])
    for table in bloat.tables:
        dead.add_metric([table.name], table.dead)
    yield dead
    seconds = None if bloat.holder is None else bloat.holder.seconds
    yield _gauge(
        "ordinaut_oldest_snapshot_seconds", "Age of the oldest transaction that VACUUM waits for.", seconds or 0
    )


def _gauge(name: str, help_text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, help_text, value=value)


def _counter(name: str, help_text: str, label: str, counts: Mapping[str, float]) -> Metric:
    family = CounterMetricFamily(name, help_text, labels=[label])
    for value, count in counts.items():
        family.add_metric([value], count)
    return family
