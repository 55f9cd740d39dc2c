"""What the commands of services share: numbers as arguments, and the probe port."""

from argparse import ArgumentTypeError

from django.core.management.base import CommandError

from scheduling.probe import ProbeServer, Readiness


def at_least_one(text: str) -> int:
    """A type of an argument."""
    number = int(text)
    if number < 1:
        raise ArgumentTypeError("must be at least 1")
    return number


def start_probe(*, host: str, port: int, readiness: Readiness) -> ProbeServer:
    """A probe server that answers; CommandError where its port cannot be opened."""
    try:
        probe = ProbeServer(host=host, port=port, readiness=readiness)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CommandError(f"the probe port {port} cannot be opened: {reason}") from None
    probe.start()
    return probe
