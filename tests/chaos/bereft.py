"""What tools of the load have left behind, watched throughout a round: whether it ends with its worker."""

import time
from collections.abc import Collection
from pathlib import Path

from tests.leftovers import Leftover, still_there
from tests.process_trees import is_alive

_LOOKS_EVERY = 0.5  # seconds
# Seconds that a leftover may have without its worker: its host may be frozen for so long, and ends it after that.
_MAY_OUTLIVE = 15.0


class Bereft:
    """`look()` now and then, at last when no host runs any more; then `outlived()`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._since: dict[Leftover, float] = {}  # since when it was seen without its worker
        self._complaints: dict[Leftover, str] = {}
        self._looked_at = 0.0

    def look(self, killed: Collection[int]) -> bool:
        """Whether something is there without its worker; `killed` are hosts that died by SIGKILL and can end nothing,
        whose leftovers are ended here."""
        now = time.monotonic()
        if now - self._looked_at < _LOOKS_EVERY:
            return bool(self._since)
        self._looked_at = now
        bereft = [leftover for leftover in still_there(self._folder) if not is_alive(leftover.worker)]
        for leftover in [leftover for leftover in bereft if leftover.host in killed]:
            leftover.end()
        bereft = [leftover for leftover in bereft if leftover.host not in killed]
        self._since = {leftover: self._since.get(leftover, now) for leftover in bereft}
        for leftover, since in self._since.items():
            if now - since > _MAY_OUTLIVE:
                self._complaints[leftover] = f"{leftover}: still there {_MAY_OUTLIVE:g} s after its worker"
        return bool(bereft)

    def outlived(self) -> list[str]:
        """Complaints, and the end of what is left."""
        for leftover in self._since:
            self._complaints.setdefault(leftover, f"{leftover}: still there when its host has ended")
            leftover.end()
        return list(self._complaints.values())
