"""Which release this is."""

import importlib.metadata
from functools import cache


@cache
def release_name() -> str:
    """The version of this program, as the worker's row shows it."""
    try:
        return importlib.metadata.version("ordinaut")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
