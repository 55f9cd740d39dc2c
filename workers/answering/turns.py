"""A worker host's turns at answering: short ones, one host at a time, woken by notifications, with polling as truth."""

import asyncio
import time
import zlib
from dataclasses import dataclass
from datetime import timedelta

import structlog
from django.db import Error, close_old_connections, connection

from scheduling.clock import session
from scheduling.instants import database_moment
from workers.answering import children, events
from workers.answering.answers import give
from workers.connection import DatabaseUnavailable
from workers.daemon_thread import DaemonThread

logger = structlog.get_logger(__name__)

TURN = 0.5  # seconds of judging
EVERY = 1.0  # seconds between turns where nothing is told
WHILE_WAITING = 0.1  # where a run waits for another, whose end nobody tells
_LONGEST_READ = timedelta(minutes=1)  # of the past of a question, through a pattern
_LOCK = (0x0D3, zlib.crc32(b"answering") - 2**31)

# Purpose: whether a turn has anything to do. Index: event_unmatched_idx, question_pending_idx, question_until_idx and
# question_open_idx, of each the beginning. Locks: none.
_LOOK = """
SELECT EXISTS (SELECT FROM scheduling_event WHERE is_unmatched)
    OR EXISTS (SELECT FROM workers_question WHERE is_pending)
    OR COALESCE((
        SELECT until FROM workers_question
        WHERE kind IN ('event', 'run') AND closed_at IS NULL AND answer IS NULL
        ORDER BY until LIMIT 1
    ) <= now(), false),
    (SELECT id FROM workers_question WHERE kind = 'run' AND closed_at IS NULL AND answer IS NULL
     ORDER BY kind, id LIMIT 1) IS NOT NULL
"""


@dataclass(frozen=True, slots=True)
class Turn:
    """`answered` questions; `is_more`: another turn would find something at once; `is_waited`: a run waits for one."""

    answered: int = 0
    is_more: bool = False
    is_waited: bool = False


def take_turn(progress: events.Progress) -> Turn:
    """Do what there is to do, in transactions of its own. Errors of the database are the caller's; nothing is lost."""
    has_work, is_waited = _look()
    if not has_work and not is_waited:
        return Turn()
    over_at = time.monotonic() + TURN

    def is_over() -> bool:
        return time.monotonic() > over_at

    answered, is_more = _judge(progress, over_at)
    is_more = children.begin(is_over, progress.tries) or is_more
    is_more = children.end(is_over, progress.tries) or is_more
    return Turn(answered, is_more=is_more, is_waited=is_waited or children.are_waited_for())


def _look() -> tuple[bool, bool]:
    with connection.cursor() as cursor:
        cursor.execute(_LOOK)
        has_work, is_waited = cursor.fetchone()
    return has_work, is_waited


def _judge(progress: events.Progress, over_at: float) -> tuple[int, bool]:
    """What events, ends of runs and the clock answer: judged without a lock, then written in one transaction."""
    with session.bounded(statement=_LONGEST_READ) as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s, %s)", _LOCK)
        if not cursor.fetchone()[0]:
            return 0, False  # another host is at it
        matching = events.Matching(progress, over_at)
        matching.judge_the_past()
        matching.judge_what_came()
        answers = [*matching.answers.values(), *children.ended()]
        settled = give(answers)
        events.done_with(matching, settled)
    with session.bounded():
        # Only now: what has come in time was judged, and written, before.
        late = [*events.expired(now := database_moment()), *children.expired(now)]
        settled |= give(late)
    return len(settled), matching.is_over or len(settled) < len(answers) + len(late)


class Answering:
    """Takes turns for one event loop, in a thread of its own; `close()` it."""

    def __init__(self) -> None:
        self._thread = DaemonThread("answering")
        self._progress = events.Progress()
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """There may be something to answer."""
        self._wake.set()

    async def turn(self) -> None:
        """One turn, and the pause until the next one may be worth it. Raises DatabaseUnavailable."""
        self._wake.clear()
        done: Turn = await self._thread.run(_guarded_turn, self._progress)
        if done.answered:
            logger.debug("answering.answered", questions=done.answered)
        if done.is_more:
            return
        try:
            async with asyncio.timeout(WHILE_WAITING if done.is_waited else EVERY):
                await self._wake.wait()
        except TimeoutError:
            return

    async def close(self) -> None:
        """End what is under way, and the thread's connection."""
        await self._thread.run(_close_connection)
        self._thread.end()


def _guarded_turn(progress: events.Progress) -> Turn:
    close_old_connections()
    try:
        return take_turn(progress)
    except Error as error:
        connection.close()
        raise DatabaseUnavailable(str(error).strip()) from error


def _close_connection() -> None:
    """The thread's own: the name means another connection in each thread."""
    connection.close()
