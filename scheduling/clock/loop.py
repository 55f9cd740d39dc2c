"""The clock's process: passes, sleeps, wake-ups, and coming back after the database was away."""

import random
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

import structlog
from django.db import close_old_connections, connection

from scheduling.backfills.pacing import BackfillPacer
from scheduling.clock import metrics, session
from scheduling.clock.ahead import SHORTEST, fire_ahead, plan_ahead, ready
from scheduling.clock.due import Share, earliest_mark, seconds_to_next_to_come
from scheduling.clock.ear import Ear
from scheduling.clock.faults import Fault, fault_of
from scheduling.clock.firing import DEFAULT_BATCH, require_tables, run_pass
from scheduling.clock.horizon import Horizon
from scheduling.clock.isolation import SteppedOver
from scheduling.clock.planned import PassResult, Planned
from scheduling.clock.points import reach
from scheduling.clock.readiness import Readiness
from scheduling.triggers.run_ends import RunEnds

logger = structlog.get_logger(__name__)

BACKSTOP = 1.0  # seconds: the longest sleep, so that a lost notification costs no more
MAX_BACKOFF = 10.0  # seconds between tries while the database is away
MAX_WAIT_FOR_OTHERS = 2.0  # seconds between tries while others hold what the clock needs
MOST_FRUITLESS = 3  # passes in a row that did nothing about a full batch, without a pause between them
FIRST_PAUSE = 0.02  # seconds: after a pass that could do nothing about what is due; doubles
SKEW_WARNING = 1.0  # seconds
SKEW_EVERY = 60.0  # seconds between measurements
JUMP = 0.5  # seconds by which the host's wall clock moves otherwise than its monotonic one


class Clock:
    """Fires what is due until `stop()` is called, from any thread or a signal handler.

    `on_jump_back` is called when the host's wall clock was set back: for those who wait by it. The loop waits by the
    monotonic clock, and the database's clock alone says what is due.
    """

    def __init__(self, *, batch: int = DEFAULT_BATCH, on_jump_back: Callable[[], None] | None = None) -> None:
        self.batch = batch
        self.readiness = Readiness()
        self._backfills = BackfillPacer()
        self._run_ends = RunEnds()
        self._stopping = threading.Event()
        self._ear = Ear()
        self._share = Share()
        self._stepped_over = SteppedOver()
        self._horizon = Horizon()
        self._allowed = batch  # schedules in the next pass; fewer after a time-out
        self._fruitless = 0  # passes in a row that wrote nothing
        self._skew_at: float | None = None
        self._on_jump_back = on_jump_back
        self._wall_ahead = time.time() - time.monotonic()

    def stop(self) -> None:
        self._stopping.set()

    def run(self) -> None:
        """Pass and sleep in turn. Returns after `stop()`; whatever goes wrong is counted, told, and tried again."""
        logger.info("clock.started", batch=self.batch)
        with session.owned():
            self._loop()
        self._ear.close()
        logger.info("clock.stopped")

    def _loop(self) -> None:
        while not self._stopping.is_set():
            try:
                result = self.run_once()
                # What is due live goes first; backfills get a turn where nothing of it is left.
                # Ends of runs have their turn after every pass: a long backlog must not hold up what follows them.
                is_idle = not self._act_on_run_ends() and not result.is_full and not self._pace_backfills()
                if is_idle or self._fruitless > MOST_FRUITLESS:
                    self._sleep()
            except Exception as error:
                fault = fault_of(error)
                if fault in (Fault.UNEXPECTED, Fault.SCHEMA, Fault.REFUSED):
                    logger.exception("clock.pass_failed", fault=fault)
                self._come_back(error, fault)

    def run_once(self, *, now: datetime | None = None) -> PassResult:
        """One pass, counted and logged where it did anything."""
        self._watch_wall_clock()
        self._measure_skew()
        began = time.perf_counter()
        result = run_pass(
            now=now,
            batch=self._allowed,
            share=self._share,
            stepped_over=self._stepped_over,
            horizon=self._horizon,
        )
        if result.is_fruitless and self._stepped_over.has_suspects:
            require_tables()
        metrics.PASS_SECONDS.observe(time.perf_counter() - began)
        metrics.PASSES.inc()
        metrics.RUNS.inc(result.runs)
        metrics.SKIPPED.inc(result.skipped)
        metrics.MISSED.inc(result.missed)
        if result.missed or result.skipped:
            logger.warning("clock.occurrences_without_run", missed=result.missed, skipped=result.skipped)
        self._allowed = min(self.batch, self._allowed * 2)
        self._fruitless = self._fruitless + 1 if result.is_fruitless else 0
        if failures := self.readiness.passed():
            logger.info("clock.passes_again", failures=failures)
        return result

    def _act_on_run_ends(self) -> bool:
        """Start what follows the runs that have ended; True where there may be more."""
        try:
            with session.hurried():
                ended = self._run_ends.act()
        except Exception as error:
            fault = fault_of(error)
            if not fault.is_contention:
                raise
            # Somebody holds the task that is to start: live firing does not wait for them.
            metrics.FAULTS.labels(fault.value).inc()
            logger.warning("clock.run_ends_put_off", fault=fault)
            return False
        metrics.RUN_ENDS.inc(ended)
        return self._run_ends.is_more

    def _pace_backfills(self) -> bool:
        """One turn of the backfills; True where there is more to do for them at once.

        What goes wrong there is told and tried again at the next turn: live firing does not suffer by it.
        """
        try:
            with session.hurried():
                turn = self._backfills.turn()
        except Exception as error:
            fault = fault_of(error)
            if fault in (Fault.CONNECTION, Fault.SERVER):
                raise
            metrics.FAULTS.labels(fault.value).inc()
            logger.exception("clock.backfills_failed", fault=fault)
            return False
        metrics.BACKFILLED.inc(turn.started)
        return turn.is_more

    def _sleep(self) -> None:
        """Until the earliest mark, a notification, `stop()`, or the backstop. What is due at the mark is planned before
        and fired when it has come."""
        stepped_over = self._stepped_over.now()
        earliest = earliest_mark(stepped_over=stepped_over, horizon=self._horizon)
        looked_at = time.monotonic()
        to_mark = None if earliest is None else earliest[0]
        waits = [BACKSTOP, *(wait for wait in (to_mark, self._stepped_over.seconds_to_next()) if wait is not None)]
        pause = max(min(waits), 0.0)
        if pause > 0:
            self._fruitless = 0
        elif self._fruitless > 1:
            # Somebody holds what is due: look again soon, not at once, or this loop would do nothing else. The first
            # time it may have become due just after the pass had looked. What others come to is not kept waiting.
            to_come = seconds_to_next_to_come()
            pause = min(
                FIRST_PAUSE * 2 ** min(self._fruitless - 1, 10), BACKSTOP, *(() if to_come is None else (to_come,))
            )
        reach("before-sleep")
        if pause <= 0 or self._stopping.is_set():
            return
        until = looked_at + pause
        planned: list[Planned] = []
        if earliest is not None and pause == to_mark and pause > SHORTEST:
            planned = plan_ahead(earliest[1], stepped_over=self._stepped_over.known(), horizon=self._horizon)
        with ready(planned):
            self._wait(until)
            # Whatever woke the clock before the mark may be a change of what is planned.
            if planned and time.monotonic() >= until and not self._stopping.is_set():
                metrics.RUNS.inc(fire_ahead(planned).runs)

    def _wait(self, until: float) -> None:
        pause = max(until - time.monotonic(), 0.0)
        session.rests()
        if not self._ear.wait(pause):
            # There is no ear, or it was lost in the middle of the pause.
            self._stopping.wait(min(pause, max(until - time.monotonic(), 0.0)))
        if self._ear.has_heard:
            self._horizon.told()

    def _come_back(self, error: Exception, fault: Fault) -> None:
        """After a pass that broke off: start from a clean connection, after a wait that grows and is spread."""
        failures = self.readiness.failed(fault)
        metrics.FAULTS.labels(fault.value).inc()
        longest = MAX_WAIT_FOR_OTHERS if fault.is_contention else MAX_BACKOFF
        pause = min(0.2 * 2 ** min(failures - 1, 10), longest) * random.uniform(0.75, 1)  # noqa: S311 (no secret)
        if fault.is_contention:
            self._allowed = max(1, self._allowed // 2)
        event = "clock.database_is_away" if fault in (Fault.CONNECTION, Fault.SERVER) else "clock.pass_broke_off"
        detail = str(error).strip()[:500]
        logger.error(event, fault=fault, detail=detail, failures=failures, retry_in=round(pause, 3))
        session.rests()
        try:
            connection.close()
        except Exception:
            logger.exception("clock.connection_not_closed")
        self._stopping.wait(pause)

    def _watch_wall_clock(self) -> None:
        ahead = time.time() - time.monotonic()
        jumped, self._wall_ahead = ahead - self._wall_ahead, ahead
        if abs(jumped) < JUMP:
            return
        logger.warning("clock.wall_clock_jumped", seconds=round(jumped, 3), hint="The database's clock decides.")
        self._skew_at = None
        if jumped < 0 and self._on_jump_back is not None:
            self._on_jump_back()

    def _measure_skew(self) -> None:
        """Compare this host's clock with the database's, which judges; warn past a second. At most once a minute."""
        if self._skew_at is not None and time.monotonic() - self._skew_at < SKEW_EVERY:
            return
        close_old_connections()
        with connection.cursor() as cursor:
            before = datetime.now(UTC)
            cursor.execute("SELECT clock_timestamp()")
            (database_now,) = cursor.fetchone()
            after = datetime.now(UTC)
        skew = (before + (after - before) / 2 - database_now).total_seconds()
        metrics.SKEW_SECONDS.set(skew)
        self.readiness.measured(skew)
        self._skew_at = time.monotonic()
        if abs(skew) > SKEW_WARNING:
            logger.warning("clock.skew", seconds=round(skew, 3), hint="The database's clock decides; check NTP.")
