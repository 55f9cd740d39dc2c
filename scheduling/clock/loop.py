"""The clock's process: passes, sleeps, wake-ups, and coming back after the database was away."""

import threading
import time
from datetime import UTC, datetime
from typing import Any

import psycopg
import structlog
from django.conf import settings
from django.db import InterfaceError, OperationalError, close_old_connections, connection

from scheduling.backfills.pacing import BackfillPacer
from scheduling.clock import metrics
from scheduling.clock.due import Share, seconds_to_earliest
from scheduling.clock.firing import DEFAULT_BATCH, PassResult, run_pass
from scheduling.triggers.run_ends import BATCH as RUN_ENDS_BATCH
from scheduling.triggers.run_ends import act_on_run_ends
from scheduling.wakeup import SCHEDULES_CHANNEL

logger = structlog.get_logger(__name__)

BACKSTOP = 1.0  # seconds: the longest sleep, so that a lost notification costs no more
MAX_BACKOFF = 10.0  # seconds between tries while the database is away
HEALTHY_WITHIN = 10.0  # seconds since the last whole pass after which the clock is not ready
SKEW_WARNING = 1.0  # seconds
SKEW_EVERY = 60.0  # seconds between measurements

LOST_CONNECTION = (OperationalError, InterfaceError, psycopg.OperationalError, psycopg.InterfaceError)


class Clock:
    """Fires what is due until `stop()` is called, from any thread or a signal handler."""

    def __init__(self, *, batch: int = DEFAULT_BATCH) -> None:
        self.batch = batch
        self._share = Share()
        self._backfills = BackfillPacer()
        self._stopping = threading.Event()
        self._listener: psycopg.Connection[Any] | None = None
        self._can_listen = True
        self._failures = 0
        self._passed_at: float | None = None
        self._skew_at: float | None = None

    def stop(self) -> None:
        self._stopping.set()

    @property
    def is_ready(self) -> bool:
        """True where the last whole pass is not older than its budget."""
        return self._passed_at is not None and time.monotonic() - self._passed_at < HEALTHY_WITHIN

    def run(self) -> None:
        """Pass and sleep in turn. Returns after `stop()`; a database that is away is waited for."""
        logger.info("clock.started", batch=self.batch)
        while not self._stopping.is_set():
            try:
                result = self.run_once()
                # What is due live goes first; backfills get a turn where nothing of it is left.
                if not result.is_full and not self._act_on_run_ends() and not self._pace_backfills():
                    self._sleep()
            except LOST_CONNECTION as error:
                self._wait_for_database(error)
        self._close_listener()
        logger.info("clock.stopped")

    def run_once(self, *, now: datetime | None = None) -> PassResult:
        """One pass, counted and logged where it did anything."""
        self._measure_skew()
        began = time.perf_counter()
        result = run_pass(now=now, batch=self.batch, share=self._share)
        metrics.PASS_SECONDS.observe(time.perf_counter() - began)
        metrics.PASSES.inc()
        metrics.RUNS.inc(result.runs)
        metrics.SKIPPED.inc(result.skipped)
        metrics.MISSED.inc(result.missed)
        metrics.QUARANTINED.inc(result.quarantined)
        if self._failures:
            logger.info("clock.database_is_back", failures=self._failures)
            self._failures = 0
        if result.missed or result.skipped:
            logger.warning("clock.occurrences_without_run", missed=result.missed, skipped=result.skipped)
        self._passed_at = time.monotonic()
        return result

    def _act_on_run_ends(self) -> bool:
        """Start what follows the runs that have ended; True where there may be more."""
        ended = act_on_run_ends()
        metrics.RUN_ENDS.inc(ended)
        return ended == RUN_ENDS_BATCH

    def _pace_backfills(self) -> bool:
        """One turn of the backfills; True where there is more to do for them at once.

        What goes wrong there is told and tried again at the next turn: live firing does not suffer by it.
        """
        try:
            turn = self._backfills.turn()
        except LOST_CONNECTION:
            raise
        except Exception:
            logger.exception("clock.backfills_failed")
            return False
        metrics.BACKFILLED.inc(turn.started)
        return turn.is_more

    def _sleep(self) -> None:
        """Until the earliest mark, a notification, `stop()`, or the backstop."""
        earliest = seconds_to_earliest()
        pause = BACKSTOP if earliest is None else min(max(earliest, 0.0), BACKSTOP)
        listener = self._listen()
        if pause <= 0 or self._stopping.is_set():
            return
        if listener is None:
            self._stopping.wait(pause)
            return
        for _ in listener.notifies(timeout=pause, stop_after=1):
            return

    def _listen(self) -> psycopg.Connection[Any] | None:
        """The connection that hears of changed schedules; None where the server's front does not let us listen."""
        if self._listener is not None and not self._listener.closed:
            return self._listener
        url = settings.ORDINAUT_DATABASE_DIRECT_URL
        if not (url and self._can_listen):
            return None
        listener = psycopg.connect(_of_this_database(url), autocommit=True)
        try:
            listener.execute(f"LISTEN {SCHEDULES_CHANNEL}")
        except psycopg.Error as error:
            listener.close()
            self._can_listen = False
            logger.warning("clock.polls_only", detail=str(error).strip())
            return None
        self._listener = listener
        return listener

    def _wait_for_database(self, error: Exception) -> None:
        self._failures += 1
        pause = min(0.2 * 2 ** min(self._failures - 1, 10), MAX_BACKOFF)
        logger.error("clock.database_is_away", detail=str(error).strip(), failures=self._failures, retry_in=pause)
        self._close_listener()
        connection.close()
        self._stopping.wait(pause)

    def _close_listener(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None

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
        self._skew_at = time.monotonic()
        if abs(skew) > SKEW_WARNING:
            logger.warning("clock.skew", seconds=round(skew, 3), hint="The database's clock decides; check NTP.")


def _of_this_database(url: str) -> str:
    """The direct address, with the name of the database that Django has open (tests have their own)."""
    return psycopg.conninfo.make_conninfo(url, dbname=connection.settings_dict["NAME"])
