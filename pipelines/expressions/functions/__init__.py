"""The closed library of functions: pure, bounded, each documented by its own docstring and examples.

`STANDARD` maps names to functions. Importing the modules of a topic enters their functions, in the reference's order.
"""

from pipelines.expressions.functions import (  # noqa: F401  # isort: skip
    jmespath_numbers,
    jmespath_collections,
    arithmetic,
    choice,
    text,
    dates,
    encoding,
    patterns,
    collections,
)
from pipelines.expressions.functions.registry import STANDARD, Function, bind, find

__all__ = ["STANDARD", "Function", "bind", "find"]
