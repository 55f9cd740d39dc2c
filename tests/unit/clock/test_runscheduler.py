"""The command's arguments: what cannot be is refused before anything runs."""

import signal
import socket
from typing import Any

import pytest
from django.core.management import CommandError, call_command


@pytest.fixture(autouse=True)
def no_signals_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal, "signal", lambda *_: None)


@pytest.mark.parametrize("batch", ["0", "-3", "many"])
def test_a_batch_that_takes_nothing_is_refused(batch: str) -> None:
    with pytest.raises(CommandError, match="--batch"):
        call_command("runscheduler", "--batch", batch)


def taken() -> socket.socket:
    held = socket.socket()
    held.bind(("127.0.0.1", 0))
    held.listen()
    return held


def test_a_probe_port_that_cannot_be_opened_is_told_in_a_line(settings: Any) -> None:
    held = taken()
    try:
        for port in (held.getsockname()[1], 99_999):
            with pytest.raises(CommandError, match=f"the probe port {port} cannot be opened"):
                call_command("runscheduler", "--no-housekeeping", "--probe-port", str(port))
    finally:
        held.close()
