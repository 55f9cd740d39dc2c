"""What an expression refers to, found without evaluating it: the names at its root and the steps it reads.

A field counts only where JMESPath evaluates it against the whole context: not behind a dot or a pipe, and not inside
a filter, a projection or an `&expression`, which see the item alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from pipelines.expressions.parsing import Node

# Children from this one on are evaluated against what the first child found.
_ENTERS = frozenset(
    {"subexpression", "index_expression", "pipe", "projection", "value_projection", "filter_projection"}
)
_WHOLE = frozenset({"current", "identity"})
_BUILDS = frozenset({"multi_select_list", "multi_select_dict", "function_expression"})

WHOLE = "@"
SECRETS = "secrets"


@dataclass(frozen=True, slots=True)
class Reference:
    """`root` is a name of the context, or WHOLE for all of it; `member` the field taken from it at once, None where it
    is used whole. `is_negated`: the field is taken from `!root`, which has none."""

    root: str
    member: str | None = None
    is_negated: bool = False


def references(tree: Node) -> frozenset[Reference]:
    """Every reference into the context."""
    return frozenset(_walk(tree))


def builds_values(tree: Node) -> bool:
    """Whether the result may be larger than anything in the context."""
    pending = [tree]
    while pending:
        node = pending.pop()
        if node["type"] in _BUILDS:
            return True
        if node["type"] != "slice":
            pending.extend(node["children"])
    return False


def _walk(node: Node) -> Iterator[Reference]:
    kind = node["type"]
    if kind == "field":
        yield Reference(node["value"])
    elif kind in _WHOLE:
        yield Reference(WHOLE)
    elif kind in _ENTERS:
        yield from _walk_entered(node)
    elif kind not in ("expref", "slice"):
        for child in node["children"]:
            yield from _walk(child)


def _walk_entered(node: Node) -> Iterator[Reference]:
    first = node["children"][0]
    member = _leading_field(node["children"][1]) if node["type"] == "subexpression" else None
    if first["type"] == "field" and member is not None:
        yield Reference(first["value"], member)
    elif first["type"] == "not_expression" and first["children"][0]["type"] == "field":
        yield Reference(first["children"][0]["value"], member, is_negated=True)
    else:
        yield from _walk(first)


def _leading_field(node: Node) -> str | None:
    """The field that `node` takes first from what it is evaluated against: `x` of `x[0]`, of `x[*].y`."""
    while node["type"] in _ENTERS or node["type"] == "flatten":
        node = node["children"][0]
    return node["value"] if node["type"] == "field" else None
