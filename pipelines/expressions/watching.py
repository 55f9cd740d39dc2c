"""Watching expressions: somebody may be told of each one that is evaluated, and of what it gave.

For simulations only. In a worker nobody watches, and an evaluation pays for asking whether somebody does.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from pipelines.expressions.errors import ExpressionError

# Told the text, and the value or why there is none.
Watcher = Callable[[str, Any], None]

_watcher: ContextVar[Watcher | None] = ContextVar("_watcher", default=None)


@contextmanager
def watched(by: Watcher) -> Iterator[None]:
    """Tell `by` of what is evaluated in this block, and in tasks that are started in it, unless they have a watcher of
    their own."""
    token = _watcher.set(by)
    try:
        yield
    finally:
        _watcher.reset(token)


def watcher() -> Watcher | None:
    return _watcher.get()


def watch(text: str, evaluate: Callable[[], Any], tell: Watcher) -> Any:
    """Evaluate, and tell what came of it."""
    try:
        value = evaluate()
    except ExpressionError as error:
        tell(text, error)
        raise
    tell(text, value)
    return value
