"""What is known of an expression's result before it is evaluated: how long a text it can be."""

from collections.abc import Sequence
from typing import Any

from pipelines.expressions.functions import STANDARD
from pipelines.expressions.parsing import Node

NO_TEXT = -1
_NEVER_TEXT = frozenset(
    {
        "comparator",
        "not_expression",
        "multi_select_list",
        "multi_select_dict",
        "projection",
        "value_projection",
        "filter_projection",
        "flatten",
        "slice",
    }
)
_LAST_GIVES = frozenset({"pipe", "subexpression", "index_expression"})
# From which argument on one of them is the result.
_ONE_OF_ITS_ARGUMENTS = {"if_else": 1, "default": 0, "coalesce": 0}


def longest_text(tree: Node) -> int | None:
    """Characters of the longest text that the expression can give; NO_TEXT where it gives none, None where nothing is
    known. What is falsy, null among it, counts for nothing: no text that long enough is."""
    kind, children = tree["type"], tree.get("children", ())
    if kind in _NEVER_TEXT:
        return NO_TEXT
    if kind == "literal":
        return len(tree["value"]) if isinstance(tree["value"], str) else NO_TEXT
    if kind in _LAST_GIVES or kind == "and_expression":
        return longest_text(children[-1])
    if kind == "or_expression":
        return _longest_of(children)
    return _longest_of_call(tree["value"], children) if kind == "function_expression" else None


def _longest_of_call(name: str, arguments: Sequence[Node]) -> int | None:
    if name in _ONE_OF_ITS_ARGUMENTS:
        return _longest_of(arguments[_ONE_OF_ITS_ARGUMENTS[name] :])
    if name == "substring":
        return _length_of_part([argument.get("value") for argument in arguments[1:]])
    returned = STANDARD[name].signature.returns
    return None if "string" in returned.split(" | ") or "any" in returned.split(" | ") else NO_TEXT


def _longest_of(nodes: Sequence[Node]) -> int | None:
    found = [longest_text(node) for node in nodes]
    known = [length for length in found if length is not None]
    return max(known) if len(known) == len(found) else None


def _length_of_part(bounds: list[Any]) -> int | None:
    """Of the characters from `start` to `end`, where both are written and count from the same side."""
    if not all(isinstance(bound, int) for bound in bounds):
        return None
    start, end = bounds[0], bounds[1] if len(bounds) > 1 else None
    if end is None:
        return -start if start < 0 else None
    return max(0, end - start) if (start < 0) == (end < 0) else None
