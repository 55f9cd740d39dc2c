"""The load: two agents and an operator at the API, whose deeds are drawn from the seed.

Each deed has one request id and one idempotency key and is sent until it is answered, so that what the outages did to
the first tries can be judged: it may have had its effect once, never twice.
"""

import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from tests.chaos.callers import Caller, forget_connection
from tests.chaos.history import Action
from tests.chaos.tasks import ALL, NOTE, OTHERS, PING, QUEUES, RECOMPUTE, SKIP, TASKS, call, every, pipeline

_TRIES = 4
_MOST_TASKS = 40
_MOST_WAITING = 120
_BY_OPERATOR = 0.3  # of the deeds; tasks are made by the agents that they belong to
Reply = Mapping[str, Any]


_BY_HAND = (
    "rated",
    "fair",
    "keyed-a",
    "keyed-alone",
    "runs-again",
    "parks",
    "nested",
    "once",
    "refused",
    "long",
    "ticks",
    "queues-all",
    "isolated",
    "leaves",
    "leaves-isolated",
    "cancels-itself",
)
_PAUSABLE = ("paused-a", "paused-b")
_DEEDS = {
    "run": 10,
    "cancel": 3,
    "redrive": 3,
    "event": 4,
    "pause": 2,
    "resume": 3,
    "pause_schedule": 2,
    "resume_schedule": 3,
    "revise": 1,
    "create": 1,
    "delete_schedule": 0.5,
    "pause_queue": 1,
    "resume_queue": 2,
    "poison": 0.4,
    "block": 0.2,
}


class Load:
    """`prepare()`, then `start()`, then `finish()`. The deeds are kept in `actions`."""

    def __init__(
        self,
        seed: int,
        agents: tuple[Caller, Caller],
        operator: Caller,
        *,
        pause: tuple[float, float],
        operates: bool,
        nested: int = 0,
    ) -> None:
        """`operates`: the queues of QUEUES are limited and shared fairly. `nested`: so many runs of a nested pipeline
        are started beside all else, with the first forty deeds."""
        self.actions: list[Action] = []
        self._operates = operates
        self._nested, self._nested_a_deed = nested, -(-nested // 40)
        self.task_ids: dict[str, str] = {}
        self._rng = Random(f"{seed} load")
        self._agents, self._operator = agents, operator
        self._pause = pause
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)
        self._paused: dict[str, bool] = {}  # path of what is paused: whether it ends by itself
        self._ever_paused: dict[str, None] = {}
        self._made: list[str] = []
        self._unanswered: list[Callable[[], None]] = []
        self.failures: list[str] = []

    def prepare(self) -> None:
        for agent, tasks in zip(self._agents, (TASKS, OTHERS), strict=True):
            for key, task in tasks.items():
                reply = self._do("task.create", "POST", "/tasks", {"key": key, **task}, by=agent).reply
                if "id" not in reply:
                    raise AssertionError(f"the task {key} was refused: {reply}")
                self.task_ids.setdefault(key, str(reply["id"]))

        if not self._do("run.start", "POST", f"/tasks/{self.task_ids['ticks']}/run", {}, by=self._operator).is_accepted:
            raise AssertionError("the operator was refused")
        for queue, changes in QUEUES.items() if self._operates else ():
            if not self._do("queue.update", "PATCH", f"/queues/{queue}", changes).is_accepted:
                raise AssertionError(f"the queue {queue} was refused")

    def start(self) -> None:
        self._thread.start()

    def finish(self) -> None:
        """Stop, have every deed answered, and let everything go on that was paused."""
        self._stopping.set()
        self._thread.join(60)
        if self._thread.is_alive():
            self.failures.append("the load hangs")
        forget_connection()
        for ask_again in self._unanswered:
            ask_again()
        # A pause whose answer came only now may have followed its own resume.
        for path in self._ever_paused:
            self._paused.setdefault(path, True)
            self._resume(path)

    def end_schedules(self) -> None:
        """Pause every schedule in time, so that the round can become quiet; who waits for something still hears it."""
        from scheduling.models import Schedule

        for schedule in Schedule.objects.filter(state="active", next_fire_at__isnull=False).order_by("id"):
            path = f"/schedules/{schedule.pk}"
            agent = self._agents[0 if str(schedule.task_id) in self._own else 1]
            self._do("schedule.pause", "POST", f"{path}/pause", {"reason": "the round ends"}, by=self._drawn(agent))

    @property
    def _own(self) -> set[str]:
        from scheduling.models import Task

        return {str(pk) for pk in Task.objects.filter(agent__name="torture-0").values_list("pk", flat=True)}

    def _run(self) -> None:
        while not self._stopping.is_set():
            deed = self._rng.choices(list(_DEEDS), list(_DEEDS.values()))[0]
            try:
                getattr(self, f"_deed_{deed}")()
                self._start_nested()
            except _Away:
                forget_connection()
            except Exception as error:  # noqa: BLE001 (kept for the report)
                self.failures.append(f"{deed}: {type(error).__name__}: {error}")
            self._stopping.wait(self._rng.uniform(*self._pause))
        forget_connection()

    # Deeds

    def _deed_run(self) -> None:
        if _count_waiting() < _MOST_WAITING:
            self._start(self._rng.choice(_BY_HAND))

    def _deed_poison(self) -> None:
        self._start("poison")

    def _deed_block(self) -> None:
        self._start("block")

    def _start_nested(self) -> None:
        """Many in one transaction, as a clock does: one by one the API is too slow for so many in one round."""
        from django.db import Error, connection, transaction

        from scheduling.runs.admission import Start, admit
        from scheduling.runs.states import TriggerKind

        count = min(self._nested, self._nested_a_deed)
        task_id = uuid.UUID(self.task_ids["nested"])
        starts = [Start(task_id=task_id, trigger_kind=TriggerKind.MANUAL) for _ in range(count)]
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                admit(cursor, starts)
        except Error as error:
            raise _Away from error
        self._nested -= count

    def _start(self, key: str) -> None:
        self._do("run.start", "POST", f"/tasks/{self.task_ids[key]}/run", {})

    def _deed_cancel(self) -> None:
        run = self._some("DueWork", "run_id", task__agent__name="torture-0")
        if run is not None:
            self._do("run.cancel", "POST", f"/runs/{run}/cancel", {"reason": "at random"})

    def _deed_redrive(self) -> None:
        run = self._some("Run", "id", state="failed", agent__name="torture-0")
        if run is not None:
            self._do("run.retry", "POST", f"/runs/{run}/retry", {})

    def _deed_event(self) -> None:
        self._do("event.publish", "POST", "/events", {"topic": PING, "payload": {"n": len(self.actions)}})

    def _deed_pause(self) -> None:
        self._pause_it(f"/tasks/{self.task_ids[self._rng.choice(_PAUSABLE)]}", "task")

    def _deed_resume(self) -> None:
        self._resume_one("/tasks/")

    def _deed_pause_queue(self) -> None:
        self._pause_it("/queues/fair", "queue")

    def _deed_resume_queue(self) -> None:
        self._resume_one("/queues/")

    def _deed_pause_schedule(self) -> None:
        schedule = self._some("Schedule", "id", task__key__in=_PAUSABLE, state="active")
        if schedule is not None:
            self._pause_it(f"/schedules/{schedule}", "schedule")

    def _deed_resume_schedule(self) -> None:
        self._resume_one("/schedules/")

    def _deed_revise(self) -> None:
        key = self._rng.choice(("long", "ticks"))
        steps = pipeline(*[NOTE, RECOMPUTE] * self._rng.randint(1, 4))
        changes = {"pipeline": steps, "description": f"revised {len(self.actions)}"}
        self._do("task.update", "PATCH", f"/tasks/{self.task_ids[key]}", changes)

    def _deed_create(self) -> None:
        if len(self._made) >= _MOST_TASKS:
            return
        soon = datetime.now(UTC) + timedelta(seconds=self._rng.uniform(1, 4))
        schedules = [
            every(self._rng.randint(2, 6), misfire=self._rng.choice((ALL, SKIP, {"policy": "last"}))),
            {"kind": "once", "expression": soon.isoformat()},
        ]
        key = f"made-{len(self._made)}"
        reply = self._do(
            "task.create",
            "POST",
            "/tasks",
            {"key": key, "pipeline": pipeline(NOTE, call("slow", seconds=0.1)), "schedules": schedules},
            by=self._agents[0],
        ).reply
        if "id" in reply:
            self._made.append(str(reply["id"]))

    def _deed_delete_schedule(self) -> None:
        schedule = self._some("Schedule", "id", task__key__startswith="made-", kind="interval")
        if schedule is not None:
            self._do("schedule.delete", "DELETE", f"/schedules/{schedule}", None)

    def _pause_it(self, path: str, noun: str) -> None:
        body: dict[str, Any] = {"reason": f"pause {len(self.actions)}"}
        is_snoozed = self._rng.random() < 0.3
        if is_snoozed:
            body["until"] = (datetime.now(UTC) + timedelta(seconds=self._rng.uniform(4, 8))).isoformat()
        self._do(f"{noun}.pause", "POST", f"{path}/pause", body, must_change=not is_snoozed)
        self._paused[path] = is_snoozed
        self._ever_paused[path] = None

    def _resume_one(self, prefix: str) -> None:
        paths = sorted(path for path in self._paused if path.startswith(prefix))
        if paths:
            self._resume(self._rng.choice(paths))

    def _resume(self, path: str) -> None:
        # One whose pause was snoozed, or never answered, may be active: then there is nothing to change.
        self._paused.pop(path)
        noun = path.split("/")[1].removesuffix("s")
        self._do(f"{noun}.resume", "POST", f"{path}/resume", {}, must_change=False)

    def _some(self, model: str, column: str, **conditions: Any) -> str | None:
        """One of those rows, by the seed; None where there is none."""
        from django.db import Error

        import scheduling.models

        try:
            rows = getattr(scheduling.models, model).objects.filter(**conditions).order_by(column)
            found = list(rows.values_list(column, flat=True)[:50])
        except Error as error:
            raise _Away from error
        return str(self._rng.choice(found)) if found else None

    # The API

    def _do(
        self, action: str, method: str, path: str, body: Any, *, by: Caller | None = None, must_change: bool = True
    ) -> Action:
        """`by`: the first agent or the operator, drawn, where it is not said."""
        caller = by or self._drawn(self._agents[0])
        deed = Action(
            request=uuid.UUID(int=self._rng.getrandbits(128), version=4).hex,
            action=action,
            actor=caller.kind,
            must_change=must_change,
        )
        self.actions.append(deed)

        def ask() -> None:
            for _ in self._tries():
                deed.tries += 1
                status, reply = caller.send(method, path, body, name=deed.request)
                is_answer = status < 500 and status != 429 and reply.get("code") != "idempotency_key_in_progress"
                if is_answer:
                    deed.status, deed.reply = status, reply
                    if status in (401, 403):
                        self.failures.append(f"{action} {deed.request}: the {caller.kind} was refused with {status}")
                    return

        ask()
        if not deed.status:
            self._unanswered.append(ask)
        return deed

    def _drawn(self, agent: Caller) -> Caller:
        """The operator now and then, else that agent."""
        return self._operator if self._rng.random() < _BY_OPERATOR else agent

    def _tries(self) -> Iterator[int]:
        """A few while the load goes on; many once all is healed."""
        most = 100 if self._stopping.is_set() else _TRIES
        for number in range(most):
            if number:
                time.sleep(0.2 + 0.1 * min(number, 10))
            yield number


class _Away(Exception):
    """The database could not be asked."""


def _count_waiting() -> int:
    from django.db import Error

    from scheduling.models import DueWork

    try:
        return DueWork.objects.count()
    except Error as error:
        raise _Away from error
