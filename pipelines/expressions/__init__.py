"""Expressions: JMESPath inside `${...}`, evaluated by a fuel-metered interpreter, with a closed library of functions.

`parsing` turns text into the jmespath library's syntax tree, `interpreter` turns the tree into closures that pay fuel
for every visit, `analysis` says what the tree refers to, `templates` and `trees` hold expressions inside texts and
JSON values. Nothing here reads a clock, a file or a network, and no input makes an evaluation run past its fuel.
"""

from pipelines.expressions.analysis import SECRETS, WHOLE, Reference
from pipelines.expressions.errors import ExpressionError
from pipelines.expressions.expression import Expression, compile_expression
from pipelines.expressions.templates import Template, compile_condition, compile_template
from pipelines.expressions.trees import CompiledValue, compile_value

__all__ = [
    "SECRETS",
    "WHOLE",
    "CompiledValue",
    "Expression",
    "ExpressionError",
    "Reference",
    "Template",
    "compile_condition",
    "compile_expression",
    "compile_template",
    "compile_value",
]
