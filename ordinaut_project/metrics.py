"""`/metrics` of the web process: Django's own figures, and gauges that are read from the database when asked.

Never public by default: without ORDINAUT_METRICS_TOKEN the address does not exist. Clock and workers serve theirs on
their probe ports.
"""

import secrets
from collections.abc import Iterator

from django.conf import settings
from django.db import Error
from django.http import Http404, HttpRequest, HttpResponse
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from scheduling.events.models import Outbox
from scheduling.queues.selectors import queue_states
from scheduling.redis_client import is_up
from workers.bloat import read_bloat
from workers.metrics import bloat_metrics
from workers.models import Worker


class StateCollector(Collector):
    """Gauges of what the database holds, for all processes together: one scrape, a few small queries."""

    def collect(self) -> Iterator[Metric]:
        depth = GaugeMetricFamily("ordinaut_queue_depth", "Due work by queue and state.", labels=["queue", "state"])
        age = GaugeMetricFamily(
            "ordinaut_queue_oldest_due_seconds", "Age of the oldest claimable row.", labels=["queue"]
        )
        paused = GaugeMetricFamily("ordinaut_queue_paused", "1 while the queue is paused.", labels=["queue"])
        for queue in queue_states():
            name = queue.depth.queue
            for state in ("due", "sleeping", "gated", "running"):
                depth.add_metric([name, state], getattr(queue.depth, state))
            age.add_metric([name], queue.depth.oldest_due_seconds or 0.0)
            paused.add_metric([name], float(queue.is_paused))
        yield depth
        yield age
        yield paused
        yield GaugeMetricFamily(
            "ordinaut_outbox_waiting", "Events that Redis does not have yet.", value=Outbox.objects.count()
        )
        yield from bloat_metrics(read_bloat())
        yield GaugeMetricFamily(
            "ordinaut_workers_live", "Worker processes that live.", value=Worker.objects.live().count()
        )


_state = CollectorRegistry(auto_describe=False)
_state.register(StateCollector())


def metrics(request: HttpRequest) -> HttpResponse:
    """The figures, for the bearer of ORDINAUT_METRICS_TOKEN; 404 for everybody else."""
    if not _may_read(request):
        raise Http404
    is_up()  # sets its gauge
    try:
        state = generate_latest(_state)
    except Error:
        # Without the database the figures of the process itself are worth the more; readyz says what is wrong.
        state = b"# the database does not answer\n"
    return HttpResponse(generate_latest(REGISTRY) + state, content_type=CONTENT_TYPE_LATEST)


def _may_read(request: HttpRequest) -> bool:
    token: str = settings.ORDINAUT_METRICS_TOKEN
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    return bool(token) and scheme.lower() == "bearer" and secrets.compare_digest(given.strip().encode(), token.encode())
