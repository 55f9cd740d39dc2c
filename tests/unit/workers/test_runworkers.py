"""The command's arguments: what cannot be is refused before anything runs."""

from typing import Any

import pytest
from django.core.management import CommandError, call_command


@pytest.mark.parametrize(
    ("command", "option", "most"),
    [
        ("runworkers", "--concurrency", 10_000),
        ("runworkers", "--processes", 1000),
        ("runscheduler", "--batch", 100_000),
        ("up", "--workers", 64),
    ],
)
@pytest.mark.parametrize("value", ["0", "-3", "many", "1.5", "", "3000000000", "1" * 5000, "one more"])
def test_a_number_that_nothing_can_work_with_is_refused(command: str, option: str, most: int, value: str) -> None:
    given = str(most + 1) if value == "one more" else value

    with pytest.raises(CommandError) as refused:
        call_command(command, f"{option}={given}")

    told = f"argument {option}: must be a whole number between 1 and {most}, not "
    assert str(refused.value).startswith(f"Error: {told}")
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize("value", [1, 10_000])
def test_the_bounds_themselves_are_taken(monkeypatch: pytest.MonkeyPatch, value: int) -> None:
    taken: list[Any] = []

    class NoHost:
        def __init__(self, options: Any) -> None:
            taken.append(options.concurrency)

        def run(self) -> int:
            return 0

    monkeypatch.setattr("workers.management.commands.runworkers.Host", NoHost)
    monkeypatch.setattr("workers.management.commands.runworkers.require_service_settings", lambda: None)
    call_command("runworkers", "--concurrency", str(value), skip_checks=True)

    assert taken == [value]
