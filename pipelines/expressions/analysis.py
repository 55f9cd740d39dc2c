"""What an expression refers to, found without evaluating it: the names at its root and the steps it reads.

The tree is walked with what JMESPath evaluates each node against, as far as that is known: the whole context, the value
of one of its names (behind a dot or a pipe, in the `{…}` and `[…]` that build values), or something else (an item of
a projection or filter, what an `&expression` gets), whose fields count for nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from pipelines.expressions.parsing import Node

# The first child gives the items that the others are evaluated against.
_PROJECTS = frozenset({"projection", "value_projection", "filter_projection"})
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
    walk = _Walk()
    walk.read_whole(tree, _CONTEXT)
    return frozenset(walk.found)


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


@dataclass(frozen=True, slots=True)
class _Value:
    """What a node gives or is evaluated against: all of the context (WHOLE), one of its names, or anything else."""

    root: str | None = None
    is_negated: bool = False


_CONTEXT = _Value(WHOLE)
_OTHER = _Value()


@dataclass(slots=True)
class _Walk:
    """Gathers what a tree reads. A value counts as read whole where it leaves for a place that is not looked into."""

    found: list[Reference] = field(default_factory=list)

    def read_whole(self, node: Node, given: _Value) -> None:
        """`node` evaluated against `given`, and all of what it gives used."""
        value = self.walk(node, given)
        if value.root is not None:
            self.found.append(Reference(value.root))

    def walk(self, node: Node, given: _Value) -> _Value:
        """What `node` gives where it is evaluated against `given`."""
        kind, children = node["type"], node.get("children", ())
        if kind == "field":
            return self._field(node["value"], given)
        if kind in ("current", "identity"):
            return given
        if kind in ("subexpression", "pipe"):
            return self._follow(children, given)
        if kind == "not_expression":
            return self._negate(children[0], given)
        if kind in _PROJECTS:
            source, *of_items = children
            self.read_whole(source, given)
            for child in of_items:
                self.walk(child, _OTHER)
        elif kind == "expref":
            self.walk(children[0], _OTHER)
        elif kind != "slice":
            for child in children:
                self.read_whole(child, given)
        return _OTHER

    def _field(self, name: str, given: _Value) -> _Value:
        if given.root == WHOLE:
            return _Value(name)
        if given.root is not None:
            self.found.append(Reference(given.root, name, is_negated=given.is_negated))
        return _OTHER

    def _negate(self, operand: Node, given: _Value) -> _Value:
        value = self.walk(operand, given)
        if value.root == WHOLE:
            self.found.append(Reference(WHOLE))
        return _OTHER if value.root in (None, WHOLE) else _Value(value.root, is_negated=True)

    def _follow(self, nodes: Sequence[Node], given: _Value) -> _Value:
        value = self.walk(nodes[0], given)
        for inner in nodes[1:]:
            value = self._enter(value, inner)
        return value

    def _enter(self, value: _Value, inner: Node) -> _Value:
        before = len(self.found)
        result = self.walk(inner, value)
        if value.root not in (None, WHOLE) and result is not value and len(self.found) == before:
            self.found.append(Reference(value.root))  # such as `steps | 1`: nothing of it is used, its name counts
        return result
