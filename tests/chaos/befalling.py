"""What a fault is: it does something, yields how many seconds the world stays so, and undoes it in its `finally`, which
also runs when the round is healed early. Everything runs in the main thread and takes only a moment."""

from collections.abc import Generator

Befalling = Generator[float, None, None]
POLL = 0.1  # seconds between looks at what a fault waits for
