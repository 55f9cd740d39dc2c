"""From a syntax tree to an evaluator: one closure a node, each of which pays fuel when it runs.

Closures rather than a visitor: half the time and half the stack a level. The semantics are the JMESPath
specification's (https://jmespath.org/specification.html); where Python's own differ (booleans equal numbers, slices
by zero raise), the specification wins.
"""

import operator
from collections.abc import Callable, Sequence
from typing import Any

from pipelines.expressions import errors
from pipelines.expressions.errors import ExpressionError
from pipelines.expressions.functions import STANDARD, Function, bind, find
from pipelines.expressions.metering import Meter
from pipelines.expressions.parsing import Node
from pipelines.expressions.values import equal, is_number, is_true

Evaluator = Callable[[Any, Meter], Any]

_ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "lt": operator.lt,
    "lte": operator.le,
    "gt": operator.gt,
    "gte": operator.ge,
}


class Builder:
    """Builds evaluators with one table of functions; `orders_text` lets `<` and its like compare two strings,
    `judges_calls` refuses calls that can only fail."""

    def __init__(self, *, functions: dict[str, Function], orders_text: bool, judges_calls: bool) -> None:
        self._functions = functions
        self._orders_text = orders_text
        self._judges_calls = judges_calls

    def build(self, node: Node) -> Evaluator:
        """Raises ExpressionError for a function that does not exist or has another number of arguments, and for a call
        that can only fail."""
        builder: Callable[[Node], Evaluator] = getattr(self, f"_{node['type']}")
        return builder(node)

    def _children(self, node: Node) -> list[Evaluator]:
        return [self.build(child) for child in node["children"]]

    # What finds values

    def _field(self, node: Node) -> Evaluator:
        name = node["value"]

        def evaluate(value: Any, meter: Meter) -> Any:
            meter.spend()
            return value.get(name) if isinstance(value, dict) else None

        return evaluate

    def _current(self, node: Node) -> Evaluator:
        return _itself

    _identity = _current

    def _literal(self, node: Node) -> Evaluator:
        literal = node["value"]

        def evaluate(_value: Any, meter: Meter) -> Any:
            meter.spend()
            return literal

        return evaluate

    def _index(self, node: Node) -> Evaluator:
        position = node["value"]

        def evaluate(value: Any, meter: Meter) -> Any:
            meter.spend()
            if isinstance(value, list) and -len(value) <= position < len(value):
                return value[position]
            return None

        return evaluate

    def _slice(self, node: Node) -> Evaluator:
        start, stop, step = node["children"]
        if step == 0:
            # The specification calls it an error of evaluation; no data can make it right, so it is found at once.
            raise ExpressionError(
                errors.BAD_ARGUMENT, "the step of a slice may not be 0", specification_name="invalid-value"
            )
        part = slice(start, stop, step)

        def evaluate(value: Any, meter: Meter) -> Any:
            if not isinstance(value, list):
                return None
            found = value[part]
            meter.spend(1 + len(found))
            return found

        return evaluate

    def _chain(self, node: Node) -> Evaluator:
        links = self._children(node)

        def evaluate(value: Any, meter: Meter) -> Any:
            for link in links:
                value = link(value, meter)
            return value

        return evaluate

    _subexpression = _index_expression = _pipe = _chain

    # What goes through lists and objects

    def _projection(self, node: Node) -> Evaluator:
        base, right = self._children(node)

        def evaluate(value: Any, meter: Meter) -> Any:
            items = base(value, meter)
            return _project(items, right, meter) if isinstance(items, list) else None

        return evaluate

    def _value_projection(self, node: Node) -> Evaluator:
        base, right = self._children(node)

        def evaluate(value: Any, meter: Meter) -> Any:
            found = base(value, meter)
            return _project(list(found.values()), right, meter) if isinstance(found, dict) else None

        return evaluate

    def _filter_projection(self, node: Node) -> Evaluator:
        base, right, condition = self._children(node)

        def evaluate(value: Any, meter: Meter) -> Any:
            items = base(value, meter)
            if not isinstance(items, list):
                return None
            meter.spend(len(items))
            return _project([item for item in items if is_true(condition(item, meter))], right, meter)

        return evaluate

    def _flatten(self, node: Node) -> Evaluator:
        (base,) = self._children(node)

        def evaluate(value: Any, meter: Meter) -> Any:
            items = base(value, meter)
            if not isinstance(items, list):
                return None
            flat: list[Any] = []
            for item in items:
                if isinstance(item, list):
                    meter.spend(1 + len(item))
                    flat.extend(item)
                else:
                    meter.spend()
                    flat.append(item)
            return flat

        return evaluate

    # What builds values

    def _multi_select_list(self, node: Node) -> Evaluator:
        parts = self._children(node)

        def evaluate(value: Any, meter: Meter) -> Any:
            meter.spend(len(parts))
            return None if value is None else [part(value, meter) for part in parts]

        return evaluate

    def _multi_select_dict(self, node: Node) -> Evaluator:
        parts = [(pair["value"], self.build(pair["children"][0])) for pair in node["children"]]

        def evaluate(value: Any, meter: Meter) -> Any:
            meter.spend(len(parts))
            return None if value is None else {key: part(value, meter) for key, part in parts}

        return evaluate

    # What decides

    def _or_expression(self, node: Node) -> Evaluator:
        left, right = self._children(node)

        def evaluate(value: Any, meter: Meter) -> Any:
            found = left(value, meter)
            return found if is_true(found) else right(value, meter)

        return evaluate

    def _and_expression(self, node: Node) -> Evaluator:
        left, right = self._children(node)

        def evaluate(value: Any, meter: Meter) -> Any:
            found = left(value, meter)
            return right(value, meter) if is_true(found) else found

        return evaluate

    def _not_expression(self, node: Node) -> Evaluator:
        (operand,) = self._children(node)

        def evaluate(value: Any, meter: Meter) -> Any:
            return not is_true(operand(value, meter))

        return evaluate

    def _comparator(self, node: Node) -> Evaluator:
        left, right = self._children(node)
        name = node["value"]
        if name in ("eq", "ne"):
            wanted = name == "eq"

            def evaluate_equality(value: Any, meter: Meter) -> Any:
                return equal(left(value, meter), right(value, meter), meter) is wanted

            return evaluate_equality

        order, orders_text = _ORDERS[name], self._orders_text

        def evaluate_order(value: Any, meter: Meter) -> Any:
            ours, theirs = left(value, meter), right(value, meter)
            if is_number(ours) and is_number(theirs):
                return order(ours, theirs)
            if orders_text and isinstance(ours, str) and isinstance(theirs, str):
                return order(ours, theirs)
            return None

        return evaluate_order

    # Functions

    def _function_expression(self, node: Node) -> Evaluator:
        known, children = find(node["value"], self._functions), node["children"]
        known.signature.check_count(len(children))
        known.signature.check_references([child["type"] == "expref" for child in children])
        if self._judges_calls and not known.is_lazy:
            self._judge(known, children)
        return bind(known, [self._argument(child) for child in children])

    def _judge(self, known: Function, arguments: Sequence[Node]) -> None:
        """Whatever the data, literals and the types that functions return are known. Raises ExpressionError."""
        for position, argument in enumerate(arguments):
            if argument["type"] == "literal":
                known.check_literal(position, argument["value"])
            elif argument["type"] == "function_expression":
                known.signature.check_returned(position, find(argument["value"], self._functions).signature)

    def _argument(self, node: Node) -> Evaluator:
        if node["type"] != "expref":
            return self.build(node)
        (body,) = self._children(node)

        def evaluate(_value: Any, meter: Meter) -> Any:
            return lambda item: body(item, meter)

        return evaluate


def _itself(value: Any, meter: Meter) -> Any:
    meter.spend()
    return value


def _project(items: Sequence[Any], right: Evaluator, meter: Meter) -> list[Any]:
    """`right` of each item, without the nulls."""
    meter.spend(1 + len(items))
    if right is _itself:
        return [item for item in items if item is not None]
    return [found for item in items if (found := right(item, meter)) is not None]


STRICT = Builder(
    functions={name: known for name, known in STANDARD.items() if known.is_standard},
    orders_text=False,
    judges_calls=False,
)
RELAXED = Builder(functions=STANDARD, orders_text=True, judges_calls=True)
