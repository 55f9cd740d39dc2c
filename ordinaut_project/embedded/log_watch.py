"""Errors from the logs of child processes, for the terminal of `manage.py up`."""

import json
from pathlib import Path

_LEVELS = {"error", "critical"}
_MOST_AT_ONCE = 5
_MOST_BYTES = 1024 * 1024


class LogWatch:
    """Reads what was appended to a JSON log since the last look and keeps the lines that report an error."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._position = path.stat().st_size if path.exists() else 0
        self._rest = b""

    def new_errors(self) -> list[str]:
        """At most five messages, each on one line; when there are more, the last says how many."""
        messages = [message for line in self._new_lines() if (message := _error_of(line))]
        if len(messages) > _MOST_AT_ONCE:
            more = len(messages) - _MOST_AT_ONCE + 1
            messages = [*messages[: _MOST_AT_ONCE - 1], f"and {more} more errors, see {self._path}"]
        return messages

    def _new_lines(self) -> list[bytes]:
        try:
            with self._path.open("rb") as file:
                file.seek(self._position)
                added = file.read(_MOST_BYTES)
        except FileNotFoundError:
            return []
        self._position += len(added)
        *lines, self._rest = (self._rest + added).split(b"\n")
        return lines


def _error_of(line: bytes) -> str | None:
    if not line.startswith(b"{"):
        return None
    try:
        entry = json.loads(line)
    except ValueError:
        return None  # not a line of ours
    if not isinstance(entry, dict) or entry.get("level") not in _LEVELS:
        return None
    return " ".join(str(entry.get("event", "")).split())[:300]
