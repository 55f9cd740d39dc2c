"""Templates: texts with `${expression}` in them.

`"${expr}"` alone keeps the type of its value; anything around it makes a string. `$${` is a literal `${`. What a
template renders is never rendered again.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.expressions import errors, limits
from pipelines.expressions.analysis import Reference
from pipelines.expressions.errors import ExpressionError
from pipelines.expressions.expression import Expression, compile_expression
from pipelines.expressions.metering import measure
from pipelines.expressions.values import to_text

_OPENING = "${"
_ESCAPED = "$${"
_QUOTES = frozenset("'\"`")


@dataclass(frozen=True, slots=True)
class Template:
    """Texts and expressions in turn. `is_whole`: one expression and nothing around it."""

    text: str
    parts: tuple[str | Expression, ...]

    @property
    def is_whole(self) -> bool:
        return len(self.parts) == 1 and isinstance(self.parts[0], Expression)

    @property
    def is_literal(self) -> bool:
        return not any(isinstance(part, Expression) for part in self.parts)

    @property
    def expressions(self) -> Iterator[Expression]:
        return (part for part in self.parts if isinstance(part, Expression))

    @property
    def references(self) -> frozenset[Reference]:
        return frozenset(reference for expression in self.expressions for reference in expression.references)

    @property
    def secrets(self) -> frozenset[str]:
        """The names of the secrets that its expressions read."""
        return frozenset(name for expression in self.expressions for name in expression.secrets)

    def masked(self, mask: Callable[[frozenset[str]], str]) -> "Template":
        """The template with a text in the place of each expression that reads a secret: it evaluates none of them."""
        if not self.secrets:
            return self
        parts = (part if isinstance(part, str) or not part.secrets else mask(part.secrets) for part in self.parts)
        return Template(self.text, tuple(parts))

    def render(self, context: Mapping[str, Any]) -> Any:
        """The value over `context`. Raises ExpressionError, `missing_value` where mixed text meets a null."""
        if self.is_whole:
            (expression,) = self.expressions
            return expression.evaluate(context)
        shown: list[str] = []
        characters = 0
        for part in self.parts:
            text = part if isinstance(part, str) else _shown(part, context)
            characters += len(text)
            if characters > limits.MAX_RESULT_CHARACTERS:
                raise ExpressionError(errors.TOO_LARGE, "the text grows beyond what a result may hold")
            shown.append(text)
        return "".join(shown)


def _shown(expression: Expression, context: Mapping[str, Any]) -> str:
    value = expression.evaluate(context)
    if value is None:
        raise ExpressionError(
            errors.MISSING_VALUE,
            f"${{{expression.text}}} is null and cannot stand in a text",
            hint=f"${{default({expression.text}, '...')}} says what to write instead",
        )
    if isinstance(value, list | dict):
        measure(value)
    return to_text(value)


def compile_template(text: str) -> Template:
    """Compile a text; one without `${` renders to itself. Raises ExpressionError."""
    return Template(text, tuple(_parts(text)))


def compile_condition(text: str) -> Expression:
    """Compile a condition: the bare expression, or `"${expression}"`. Raises ExpressionError."""
    if not text.strip().startswith(_OPENING):
        return compile_expression(text)
    template = compile_template(text.strip())
    if not template.is_whole:
        raise ExpressionError(
            errors.SYNTAX,
            f"{text!r} is a text with an expression in it, not a condition",
            hint="write the whole condition bare, or inside one ${...}",
        )
    return next(template.expressions)


def _parts(text: str) -> Iterator[str | Expression]:
    """The texts and expressions of a template; the empty template has one empty text."""
    literal: list[str] = []
    position = 0
    while (dollar := text.find("$", position)) >= 0:
        literal.append(text[position:dollar])
        if text.startswith(_ESCAPED, dollar):
            literal.append(_OPENING)
            position = dollar + len(_ESCAPED)
        elif text.startswith(_OPENING, dollar):
            if before := "".join(literal):
                yield before
            literal.clear()
            position = _end_of_expression(text, dollar + len(_OPENING))
            yield _compile_part(text[dollar + len(_OPENING) : position - 1], dollar + len(_OPENING))
        else:
            literal.append("$")
            position = dollar + 1
    literal.append(text[position:])
    after = "".join(literal)
    if after or not text:
        yield after


def _compile_part(text: str, offset: int) -> Expression:
    try:
        return compile_expression(text.strip())
    except ExpressionError as error:
        position = None if error.position is None else offset + len(text) - len(text.lstrip()) + error.position
        raise ExpressionError(
            error.code, error.detail, position=position, hint=error.hint, specification_name=error.specification_name
        ) from error


def _end_of_expression(text: str, start: int) -> int:
    """The offset behind the brace that closes the expression at `start`; braces nest, quoted ones do not count."""
    depth, position = 1, start
    while position < len(text):
        character = text[position]
        if character in _QUOTES:
            position = _end_of_quote(text, position)
            continue
        depth += (character == "{") - (character == "}")
        position += 1
        if depth == 0:
            return position
    raise _unclosed(text, start)


def _end_of_quote(text: str, start: int) -> int:
    position = start + 1
    while position < len(text):
        if text[position] == "\\":
            position += 2
        elif text[position] == text[start]:
            return position + 1
        else:
            position += 1
    return position


def _unclosed(text: str, start: int) -> ExpressionError:
    beginning = text[start - len(_OPENING) : start + 40]
    return ExpressionError(
        errors.UNCLOSED_TEMPLATE,
        f"{beginning!r} has no closing brace",
        position=start - len(_OPENING),
        hint="close it with }, or write $${ for a literal ${",
    )
