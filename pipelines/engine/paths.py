"""Paths of steps in the journal of a run: the ids of the loops around a step, each with its index, then its own id."""

import re

# Of a body that the retry of its container has begun anew: what is inside has entries of its own there.
_MARK = re.compile(r"([a-z0-9_]+)~(\d+)\.")


def mark(container: str, body: int) -> str:
    """What leads the paths inside of a container's body, which are counted from 1."""
    return "" if body == 1 else f"{container}~{body}."


def shown_path(path: str) -> str:
    """A path as people and tools know it: in which body of a container it was is of no concern to them."""
    return _MARK.sub("", path) if "~" in path else path


def enter_body(container: str, path: str) -> tuple[int, str, str]:
    """Which body of the container a path below it stands in, the path inside of that, and the mark that led there."""
    found = _MARK.match(path)
    if found is None or found[1] != container:
        return 1, path, ""
    return int(found[2]), path[found.end() :], found[0]


def marks(path: str) -> list[tuple[str, int]]:
    """In which body of which containers the step was, as far as not in the first."""
    return [(container, int(body)) for container, body in _MARK.findall(path)]
