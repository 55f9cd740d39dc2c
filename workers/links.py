"""The supervisor's side of the pulse: one link a worker process."""

import os
import signal
import socket
import uuid
from collections import Counter
from typing import Any
from uuid import UUID

import orjson
import structlog

from workers.pulse import Message, receive, send
from workers.tally import Tally
from workers.wear import Wear

logger = structlog.get_logger(__name__)

FIRST_TICK_WITHIN = 60.0  # seconds from its start: a slow machine has much to import


class Link:
    """What the supervisor knows of one place in its row of children. The process in it may change; the socket pair
    stays, because a restarted child is given the same descriptors."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.ours, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        for end in (self.ours, self.theirs):
            end.setblocking(False)
        self.boot_id: UUID | None = None
        self.pid = 0
        self.report: Message = {}
        self._moved_at = 0.0
        self._beaten_number = 0
        self.past_counts: Tally = Counter()
        self._told_doing: Any = None
        self._told_fault = 0
        self._killed_for = ""
        self.is_told_to_drain = False
        self.wear = Wear()

    @property
    def number(self) -> int:
        return int(self.report.get("number", 0))

    @property
    def wants_beat(self) -> bool:
        """True where the process is registered and has ticked since its last beat."""
        return bool(self.report.get("registered")) and self.number > self._beaten_number

    def welcome(self, pid: int, *, supervisor_id: UUID, now: float) -> UUID:
        """Greet the process that was just started here; returns its boot id."""
        self.boot_id, self.pid, self.report = uuid.uuid4(), pid, {}
        self._beaten_number, self._moved_at = 0, now + FIRST_TICK_WITHIN
        self._told_doing, self._told_fault, self._killed_for, self.is_told_to_drain = None, 0, "", False
        self.wear = Wear()
        send(
            self.ours,
            {
                "type": "welcome",
                "pid": pid,
                "boot_id": str(self.boot_id),
                "supervisor_id": str(supervisor_id),
            },
        )
        return self.boot_id

    @property
    def news(self) -> tuple[str | None, str | None]:
        """What the process does, as JSON text, and its last error: each None where the row has it already."""
        doing = self.report.get("doing")
        number, fault = self.report.get("fault", (0, ""))
        return (
            None if doing is None or doing == self._told_doing else orjson.dumps(doing).decode(),
            fault if number > self._told_fault else None,
        )

    def note_told(self, report: Message) -> None:
        """The row has what this report said."""
        self._told_doing = report.get("doing")
        self._told_fault = report.get("fault", (0, ""))[0]

    def reason_of_end(self, exit_words: str) -> tuple[str, str]:
        """Why the process here ended, and its last error: what it was killed for, what it said, or how it ended."""
        reason = self._killed_for or f"ended with {exit_words}"
        number, fault = self.report.get("fault", (0, ""))
        return reason, f"{reason}; before: {fault}" if number else reason

    def part(self) -> UUID | None:
        """The process here has ended; returns its boot id. Its counts are kept, so that sums do not fall."""
        self.past_counts.update(self.report.get("counts", {}))
        boot_id, self.boot_id, self.pid, self.report = self.boot_id, None, 0, {}
        return boot_id

    def read(self, *, now: float) -> None:
        """Take in the ticks that have arrived."""
        for message in receive(self.ours):
            if message["boot_id"] == str(self.boot_id) and message["number"] > self.number:
                self.report = message
                self._moved_at = now

    def acknowledge(self, number: int) -> None:
        """A beat was written for the tick of that number."""
        self._beaten_number = number
        self.tell({"type": "ack", "number": number})

    def tell(self, message: Message) -> None:
        if self.boot_id is not None:
            send(self.ours, {**message, "boot_id": str(self.boot_id)})

    def excuse(self, *, now: float) -> None:
        """This supervisor was away itself: nobody is blamed for the silence."""
        self._moved_at = max(self._moved_at, now)

    def kill_if_stuck(self, *, now: float, abort_after: float) -> None:
        """SIGKILL a process whose loop has stood still for too long: nothing less may reach it."""
        if self.boot_id is None or now - self._moved_at <= abort_after:
            return
        logger.error("worker.stuck", worker=str(self.boot_id), pid=self.pid, seconds=round(now - self._moved_at, 1))
        self._killed_for = f"killed: its loop stood still for {abort_after:g} s"
        self._moved_at = now
        _signal(self.pid, signal.SIGKILL)

    def close(self) -> None:
        """Nothing will be started here again."""
        self.ours.close()
        self.theirs.close()

    def facts(self) -> dict[str, Any]:
        return {
            "worker": str(self.boot_id),
            "pid": self.pid,
            "running": self.report.get("running", 0),
            "memory": self.wear.memory,
        }


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        logger.debug("worker.gone_already", pid=pid)
