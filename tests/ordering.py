"""The order of the test files: those of real processes, which wait for most of their time, evenly among those that
compute, so that neither the cores nor the workers of a parallel run stand idle at its beginning or its end."""

from collections.abc import Callable, Sequence
from pathlib import PurePath

WAITING = ("e2e", "crash", "architecture", "browser")  # folders, the longest files first


def spread(files: Sequence[str], folder_of: Callable[[str], str]) -> list[str]:
    """The files in the order in which they should begin, each kind spread over the whole."""
    waiting = sorted((each for each in files if folder_of(each) in WAITING), key=lambda each: _rank(folder_of(each)))
    computing = [each for each in files if folder_of(each) not in WAITING]
    # The waiting ones a little ahead: what is left at the end is short.
    places = {each: (at + 0.5) / (len(waiting) * 1.15) for at, each in enumerate(waiting)}
    places |= {each: (at + 0.5) / len(computing) for at, each in enumerate(computing)}
    return sorted(files, key=places.__getitem__)


def folder_in(root: PurePath) -> Callable[[str], str]:
    """Tells the folder right below `root` that a file is in."""
    return lambda file: PurePath(file).relative_to(root).parts[0]


def _rank(folder: str) -> int:
    return WAITING.index(folder)
