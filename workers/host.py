"""The host process of `runworkers`: starts the worker processes, beats for them, and reaps those of other hosts.

Processes that have served long enough are replaced, the new one first (`workers.wear`). That is the host's own choice
and in no hurry: what they have at work comes to its end.

Two threads. The main one supervises (a child is tied to the life of the thread that spawned it); an event loop in the
other holds the links, the beats, the reaper, the sweeps and the listening connection. Neither runs any work, so that
neither can be held up by it.
"""

import asyncio
import signal
import sys
import threading
import time
import uuid
from collections.abc import Coroutine
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings

from workers import conf, exits
from workers.keeper import Keeper, Left
from workers.links import Link
from workers.orphans import adopt_orphans, end_orphans, reap_orphans
from workers.supervisor import Child, ChildSpec, Supervisor
from workers.wear import Limits, Reason

logger = structlog.get_logger(__name__)

LAST_WORDS_WITHIN = 3.0  # seconds for the keeper to end
_KILL_MARGIN = 4.0  # seconds past the grace until a process that does not end is killed


@dataclass(frozen=True, slots=True, kw_only=True)
class HostOptions:
    """`concurrency` slots in each of `processes`, fed from `queues`. Each is replaced at its `limits`."""

    processes: int
    concurrency: int
    queues: tuple[str, ...]
    limits: Limits = field(default_factory=Limits)


@dataclass(slots=True)
class _Replacement:
    """A process that has served long enough, and the one that follows it. `retired_at`: when it was asked to end, on
    the monotonic clock."""

    old: Link
    new: Link
    reason: Reason
    retired_at: float | None = None

    @property
    def links(self) -> tuple[Link, Link]:
        return self.old, self.new


class Host:
    """`run()` until SIGTERM or SIGINT; returns the exit code."""

    def __init__(self, options: HostOptions) -> None:
        self._options = options
        self._supervisor_id = uuid.uuid4()
        self._links = {f"worker-{number}": Link(f"worker-{number}") for number in range(1, options.processes + 1)}
        self._made = options.processes
        self._replacements: list[_Replacement] = []
        self._supervisor = Supervisor(
            on_start=self._welcome, on_exit=self._ended, on_pass=self._pass, stops_together=True
        )
        self._children: dict[UUID, Child] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="keeper", daemon=True)
        self.keeper = Keeper(list(self._links.values()), limits=options.limits, on_drain=self._retire)

    def run(self) -> int:
        """Start everything, supervise, stop everything in order. Must run in the main thread."""
        adopt_orphans()
        self._thread.start()
        self._call(self.keeper.start())
        logger.info(
            "host.started",
            supervisor=str(self._supervisor_id),
            processes=self._options.processes,
            concurrency=self._options.concurrency,
            queues=list(self._options.queues),
        )
        try:
            for link in list(self._links.values()):
                self._supervisor.start(self._spec(link))
            code = self._supervisor.run()
        finally:
            end_orphans(self._living())
            self._say_last_words()
        logger.info("host.stopped", exit_code=code)
        return code

    def _spec(self, link: Link) -> ChildSpec:
        return ChildSpec(
            name=link.name,
            argv=(
                sys.executable,
                "-m",
                "workers.process",
                f"--channel={link.theirs.fileno()}",
                f"--queues={','.join(self._options.queues)}",
                f"--concurrency={self._options.concurrency}",
            ),
            cwd=Path(settings.BASE_DIR),
            pass_fds=(link.theirs.fileno(),),
            grace=conf.grace().total_seconds() + _KILL_MARGIN,
        )

    def _welcome(self, child: Child) -> None:
        link = self._links[child.spec.name]
        boot_id = self._call(self.keeper.welcome(link, child.pid, supervisor_id=self._supervisor_id))
        self._children[boot_id] = child

    def _ended(self, child: Child, exit_code: int) -> None:
        """A process ended unasked, or was retired: what it leaves is handed over at once."""
        end_orphans(self._living())
        link = self._links[child.spec.name]
        boot_id, reason, error = self._call(self.keeper.part(link, exit_words=exits.exit_words(exit_code)))
        if boot_id is not None:
            self._children.pop(boot_id, None)
            is_drained = exit_code == exits.DRAINED
            work = self.keeper.hand_over(boot_id, reason=reason, error=error, seems_orderly=is_drained, place=link)
            self._submit(work).add_done_callback(_log_failure)
        replacement = next((each for each in self._replacements if each.old is link), None)
        if replacement is not None:
            # One that ended by itself before it was asked is not started again either: its follower is there.
            self._supervisor.retire(link.name)
            self._drop_unwanted(replacement)
            self._bury(replacement)

    def _living(self) -> set[int]:
        """The pids of the processes that are supervised now."""
        return {child.pid for child in self._supervisor.children.values()}

    def _pass(self) -> None:
        reap_orphans(self._living())
        self._replace()

    def _replace(self) -> None:
        """Replace processes that have served long enough: the follower first, then the old one drains.

        One follower starts at a time, so there is never one process too few. One whose predecessor still lingers waits
        for the end of that, however worn it is: there are never more than two for each of the host's processes.
        """
        for replacement in self._replacements:
            self._carry_on(replacement)
        if self._supervisor.is_stopping or any(each.retired_at is None for each in self._replacements):
            return
        busy = {link.name for each in self._replacements for link in each.links}
        worn = next((link for link in self._links.values() if _is_worn(link) and link.name not in busy), None)
        if worn is not None:
            self._start_follower_of(worn)

    def _carry_on(self, replacement: _Replacement) -> None:
        """Ask the old process to end as soon as its follower works: in no hurry where it may linger, else as SIGTERM
        does."""
        self._drop_unwanted(replacement)
        old, new = replacement.links
        if replacement.retired_at is None:
            # A follower that somebody drains may be gone, and is one process less: the old one is not waited for.
            if not (new.report.get("registered") or new.is_told_to_drain):
                return
            replacement.retired_at = time.monotonic()
            if old.boot_id is not None:
                self._submit(self.keeper.say_why(old.boot_id, old.wear.words)).add_done_callback(_log_failure)
        lingers_until = replacement.retired_at + conf.worn_grace().total_seconds()
        if old.wear.may_linger and time.monotonic() < lingers_until:
            # Again in each pass: a message that finds the channel full is lost.
            self._loop.call_soon_threadsafe(old.tell, {"type": "linger"})
        else:
            self._supervisor.retire(old.name)

    def _start_follower_of(self, worn: Link) -> None:
        assert worn.wear.reason is not None
        self._made += 1
        new = Link(f"worker-{self._made}")
        self._links[new.name] = new
        self._call(self.keeper.add(new))
        self._replacements.append(_Replacement(worn, new, worn.wear.reason))
        logger.info("worker.is_replaced", worker=str(worn.boot_id), reason=worn.wear.words)
        self._supervisor.start(self._spec(new))

    def _drop_unwanted(self, replacement: _Replacement) -> None:
        """Somebody drains the old process before it was asked to go: nobody is to follow it any more."""
        if replacement.old.is_told_to_drain and replacement.retired_at is None:
            replacement.retired_at = time.monotonic()
            self._supervisor.retire(replacement.new.name)

    def _bury(self, replacement: _Replacement) -> None:
        del self._links[replacement.old.name]
        self._call(self.keeper.remove(replacement.old, replacement.reason))
        self._replacements.remove(replacement)

    def _retire(self, link: Link) -> None:
        """Somebody drains a process for good. Called in the keeper's loop."""
        self._supervisor.retire(link.name)

    def _say_last_words(self) -> None:
        """Hand over what was killed at the end of its grace, and tell the rows of those that could not; then end the
        loop."""
        left = [_left(boot_id, child.exit_code) for boot_id, child in self._children.items()]
        try:
            self._submit(self.keeper.stop(left)).result(LAST_WORDS_WITHIN)
        except TimeoutError:
            logger.warning("host.stopped_in_a_hurry")
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(LAST_WORDS_WITHIN)

    def _call(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self._submit(work).result()

    def _submit(self, work: Coroutine[Any, Any, Any]) -> Future[Any]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)


def _left(boot_id: UUID, exit_code: int | None) -> Left:
    """None is the code of one that the kernel kills as soon as this host has ended, for it could not start."""
    if exit_code is None or exit_code == -signal.SIGKILL:
        return Left(boot_id=boot_id, reason=exits.KILLED_AT_STOP, seems_orderly=False)
    reason = exits.ended_with_host(exits.exit_words(exit_code))
    return Left(boot_id=boot_id, reason=reason, seems_orderly=exit_code in (exits.DRAINED, exits.HURRIED))


def _is_worn(link: Link) -> bool:
    """Whether its process lives and has served long enough. One that somebody drains is not followed by another."""
    return link.wear.reason is not None and link.boot_id is not None and not link.is_told_to_drain


def _log_failure(work: Future[None]) -> None:
    """Nobody waits for a hand-over; what it leaves undone is done by the sweep."""
    if not work.cancelled() and (error := work.exception()) is not None:
        logger.error("host.hand_over_failed", exc_info=error)
