"""The jmespath library's lexer, held to the specification's literals and, in relaxed mode, taking decimal numbers."""

# The library carries no annotations.
# mypy: disallow-untyped-calls=False

import json
import math
from typing import Any

import orjson
from jmespath.exceptions import LexerError
from jmespath.lexer import Lexer

Token = dict[str, Any]


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text} is too large a number")
    return number


class StrictLexer(Lexer):
    """The specification's lexer: the library's, but its literals are JSON without NaN and Infinity."""

    def _consume_literal(self) -> Token:
        start = self._position
        lexeme = self._consume_until("`").replace("\\`", "`")
        return {
            "type": "literal",
            "value": self._literal_value(lexeme, start),
            "start": start,
            "end": self._position - start,
        }

    def _literal_value(self, lexeme: str, start: int) -> Any:
        try:
            value = json.loads(lexeme, parse_constant=_refuse_constant, parse_float=_finite)
        except RecursionError as error:
            raise self._refusal(start, "A literal that nests too deep") from error
        except ValueError:
            # The grammar's older alternative: a literal that is no JSON is a string (JEP-12).
            try:
                value = json.loads(f'"{lexeme.lstrip()}"')
            except ValueError as error:
                raise self._refusal(start, f"Bad token {lexeme}") from error
        return self._encodable(value, start)

    def _consume_quoted_identifier(self) -> Token:
        token: Token = super()._consume_quoted_identifier()
        self._encodable(token["value"], token["start"])
        return token

    def _encodable(self, value: Any, start: int) -> Any:
        """Lone surrogates and integers beyond 64 bits have no JSON that others read."""
        try:
            orjson.dumps(value)
        except TypeError as error:
            raise self._refusal(start, "A literal that JSON cannot hold") from error
        return value

    def _refusal(self, start: int, message: str) -> LexerError:
        return LexerError(lexer_position=start, lexer_value=self._expression[start:], message=message)


class RelaxedLexer(StrictLexer):
    """Also takes `2.5` and `1e3`. They leave as literals, so that an index stays an integer."""

    def tokenize(self, expression: str) -> list[Token]:
        tokens: list[Token] = []
        for token in super().tokenize(expression):
            if token["type"] == "number":
                self._encodable(token["value"], token["start"])
                token = self._with_fraction(token)
            tokens.append(token)
        return tokens

    def _with_fraction(self, token: Token) -> Token:
        """`token`, or the decimal number that it begins. The lexer stands right behind the digits."""
        text = self._expression[token["start"] : token["end"]]
        fraction = self._take_fraction() + self._take_exponent()
        if not fraction:
            return token
        number = float(text + fraction)
        if math.isinf(number):
            raise self._refusal(token["start"], "Too large a number")
        return {"type": "literal", "value": number, "start": token["start"], "end": self._position}

    def _take_fraction(self) -> str:
        return self._take_digits(".") if self._current == "." and self._is_digit(1) else ""

    def _take_exponent(self) -> str:
        if self._current not in ("e", "E"):
            return ""
        if self._is_digit(1):
            return self._take_digits("e")
        sign = self._peek(1)
        if sign not in ("+", "-") or not self._is_digit(2):
            return ""
        self._next()
        return self._take_digits(f"e{sign}")

    def _take_digits(self, prefix: str) -> str:
        taken = prefix
        while self._next() in self.VALID_NUMBER:
            taken += self._current
        return taken

    def _peek(self, ahead: int) -> str | None:
        position = self._position + ahead
        return self._expression[position] if position < self._length else None

    def _is_digit(self, ahead: int) -> bool:
        return self._peek(ahead) in self.VALID_NUMBER
