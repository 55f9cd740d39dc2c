"""What the commands of services share: numbers as arguments, and the probe port."""

from argparse import ArgumentTypeError
from collections.abc import Callable

from django.core.management.base import CommandError

from scheduling.probe import ProbeServer, Readiness

_SHOWN = 40  # characters of what is refused


def at_least_one(text: str) -> int:
    """A type of an argument."""
    number = int(text)
    if number < 1:
        raise ArgumentTypeError("must be at least 1")
    return number


def between(least: int, most: int) -> Callable[[str], int]:
    """A type of an argument: a whole number, the bounds included."""

    def number_of(text: str) -> int:
        try:
            number: int | None = int(text)
        except ValueError:
            number = None
        if number is None or not least <= number <= most:
            given = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
            raise ArgumentTypeError(f"must be a whole number between {least} and {most}, not {given!r}")
        return number

    return number_of


def start_probe(*, host: str, port: int, readiness: Readiness) -> ProbeServer:
    """A probe server that answers; CommandError where its port cannot be opened."""
    try:
        probe = ProbeServer(host=host, port=port, readiness=readiness)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CommandError(f"the probe port {port} cannot be opened: {reason}") from None
    probe.start()
    return probe
