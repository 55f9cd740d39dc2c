"""Worker processes: what each does, how it is, and the button that drains it."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from scheduling.agents.roles import OPERATE_WORKER
from scheduling.audit.operations import Actor
from scheduling.console.badges import badge, simulated_badge
from scheduling.console.deeds import Deed, DeedsAdmin
from scheduling.console.listing import ReadOnlyAdmin, exact_time, object_url
from scheduling.console.words import NOTHING, since
from scheduling.instants import database_now
from scheduling.runs.models import Run
from workers.doing import heard
from workers.models import LIVE_WORKER_STATES, Worker
from workers.operations import drain_worker
from workers.selectors import current_runs, worker_actions

_RUNS_IN_THE_LIST = 3


def _drain(actor: Actor, worker: Worker) -> str:
    drain_worker(actor=actor, worker=worker)
    return f"{worker} is asked to drain: it claims nothing more and ends when it is done. Its host starts no other."


def _drain_host(actor: Actor, worker: Worker) -> str:
    drain_worker(actor=actor, worker=worker, whole_host=True)
    return f"Every process of {worker.host} is asked to drain. Start its runworkers again to have them back."


def _may_drain(worker: Worker) -> bool:
    return "drain" in worker_actions(worker)


@admin.register(Worker)
class WorkerAdmin(DeedsAdmin, ReadOnlyAdmin):
    list_display = (
        "process",
        "state_shown",
        "queues_shown",
        "at_work",
        "runs_shown",
        "beat",
        "release",
        "last_error_shown",
        "started",
    )
    list_filter = ("state", "host")
    search_fields = ("host", "boot_id__exact")
    ordering = ("-started_at", "boot_id")
    hidden_fields = ("doing",)
    change_form_outer_before_template = "console/worker_before.html"
    started = exact_time("started_at", "started")
    deeds = (
        Deed(
            name="drain",
            label="Drain",
            permission=OPERATE_WORKER,
            perform=_drain,
            is_offered=_may_drain,
            confirm="Drain this process? It ends when it is done, and its host starts no other in its place.",
            is_danger=True,
        ),
        Deed(
            name="drain-host",
            label="Drain its whole host",
            permission=OPERATE_WORKER,
            perform=_drain_host,
            is_offered=_may_drain,
            confirm="Drain every process of this host? They end when they are done.",
            is_danger=True,
            in_lists=False,
        ),
    )

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        worker = self.get_object(request, object_id)
        context = extra_context or {}
        if worker is not None:
            context |= {
                "worker": worker,
                "buttons": self.buttons(request, worker),
                "beat": since(worker.beat_at, now=database_now()),
                "is_live": worker.state in LIVE_WORKER_STATES,
                "runs": current_runs([worker])[worker.pk],
            }
        return super().change_view(request, object_id, form_url, context)  # type: ignore[no-any-return]

    @admin.display(description="process", ordering="host")
    def process(self, worker: Worker) -> str:
        return f"{worker.host}:{worker.pid}"

    @admin.display(description="state", ordering="state")
    def state_shown(self, worker: Worker) -> SafeString:
        return format_html('{} <span class="ord-none">{}</span>', badge(worker.state), worker.state_reason)

    @admin.display(description="queues")
    def queues_shown(self, worker: Worker) -> str:
        return ", ".join(worker.queues)

    @admin.display(description="running")
    def at_work(self, worker: Worker) -> str:
        return f"{worker.running_count} of {worker.slots}"

    @admin.display(description="current runs")
    def runs_shown(self, worker: Worker) -> SafeString | str:
        doings = list(heard(worker.doing).values())
        if not doings:
            return NOTHING
        links = format_html_join(
            ", ",
            '<a href="{}">…{}</a>{}{}',
            (
                (
                    object_url(Run, doing.run_id),
                    str(doing.run_id)[-12:],
                    f" ({doing.step})" if doing.step else "",
                    format_html(" {}", simulated_badge()) if doing.is_simulated else "",
                )
                for doing in doings[:_RUNS_IN_THE_LIST]
            ),
        )
        left_out = worker.running_count - min(len(doings), _RUNS_IN_THE_LIST)
        return format_html("{} and {} more", links, left_out) if left_out > 0 else links

    @admin.display(description="last beat", ordering="beat_at")
    def beat(self, worker: Worker) -> str:
        return since(worker.beat_at, now=timezone.now()) if worker.stopped_at is None else NOTHING

    @admin.display(description="last error")
    def last_error_shown(self, worker: Worker) -> str:
        return worker.last_error[:80] or NOTHING
