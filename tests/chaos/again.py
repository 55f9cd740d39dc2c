"""The command that repeats a round, as it is printed for a person to paste."""

import shlex
from collections.abc import Iterable


def again_by(words: Iterable[str]) -> str:
    """The line that hands these words to the driver: through a shell, make (whose sign is the dollar) and make's own
    shell, each of which reads quotes."""
    return f"again by: make torture ARGS={shlex.quote(shlex.join(words).replace('$', '$$'))}\n"
