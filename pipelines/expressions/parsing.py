"""From the text of an expression to its syntax tree: the jmespath library's parser, closed and bounded.

Closed: the library lets `f(a b)`, `f(a,)` and `{a: b c: d}` pass, which the grammar does not. Bounded: it recurses
once for each opening bracket. Relaxed mode adds bare numbers and `true`, `false`, `null`.
"""

# The library carries no annotations.
# mypy: disallow-untyped-calls=False

from typing import Any

from jmespath import ast, exceptions
from jmespath.parser import Parser

from pipelines.expressions import errors, limits
from pipelines.expressions.errors import ExpressionError
from pipelines.expressions.lexing import RelaxedLexer, StrictLexer, Token

Node = dict[str, Any]

_WORDS = {"true": True, "false": False, "null": None}


class StrictParser(Parser):
    """The grammar of the specification."""

    lexer: type[StrictLexer] = StrictLexer

    def __init__(self) -> None:
        super().__init__()
        self._depth = 0

    def parse_text(self, text: str) -> Node:
        self._tokens = list(self.lexer().tokenize(text))
        self._index = 0
        parsed: Node = self._expression(binding_power=0)
        if self._current_token() != "eof":
            self._raise_parse_error_for_token(self._lookahead_token(0), "unexpected token")
        return parsed

    def _expression(self, binding_power: int = 0) -> Node:
        self._depth += 1
        if self._depth > limits.MAX_DEPTH:
            raise ExpressionError(errors.TOO_COMPLEX, f"the expression nests more than {limits.MAX_DEPTH} levels deep")
        node: Node = super()._expression(binding_power)
        self._depth -= 1
        return node

    def _token_led_lparen(self, left: Node) -> Node:
        if left["type"] != "field":
            self._raise_parse_error_for_token(self._lookahead_token(-2), "invalid function name")
        arguments: list[Node] = []
        while self._current_token() != "rparen":
            if arguments:
                self._match("comma")
            arguments.append(self._function_argument())
        self._match("rparen")
        return ast.function_expression(left["value"], arguments)  # type: ignore[no-any-return]

    def _function_argument(self) -> Node:
        """An expression or `&expression`; the grammar knows the latter nowhere else."""
        if self._current_token() != "expref":
            return self._expression()
        self._advance()
        return ast.expref(self._expression(self.BINDING_POWER["expref"]))  # type: ignore[no-any-return]

    def _token_nud_expref(self, token: Token) -> None:
        self._raise_parse_error_for_token(token, "an expression type is an argument of a function")

    def _parse_multi_select_hash(self) -> Node:
        pairs: list[Node] = []
        while True:
            key = self._lookahead_token(0)
            self._match_multiple_tokens(token_types=["quoted_identifier", "unquoted_identifier"])
            self._match("colon")
            pairs.append(ast.key_val_pair(key_name=key["value"], node=self._expression(0)))
            if self._current_token() == "rbrace":
                break
            self._match("comma")
        self._match("rbrace")
        return ast.multi_select_dict(nodes=pairs)  # type: ignore[no-any-return]


class RelaxedParser(StrictParser):
    """Also bare numbers, lists of them, and the words `true`, `false` and `null` (quoted, they are names)."""

    lexer = RelaxedLexer

    def _token_nud_number(self, token: Token) -> Node:
        return ast.literal(token["value"])  # type: ignore[no-any-return]

    def _token_nud_unquoted_identifier(self, token: Token) -> Node:
        # After a dot, and before a bracket that calls it, a word is a name.
        is_name = self._lookahead(-2) == "dot" or self._current_token() == "lparen"
        if token["value"] in _WORDS and not is_name:
            return ast.literal(_WORDS[token["value"]])  # type: ignore[no-any-return]
        return ast.field(token["value"])  # type: ignore[no-any-return]

    def _token_nud_lbracket(self, token: Token) -> Node:
        # `[1, 2]` is a list; `[1]` stays JMESPath's index.
        if self._current_token() == "number" and self._lookahead(1) == "comma":
            return self._parse_multi_select_list()  # type: ignore[no-any-return]
        return super()._token_nud_lbracket(token)  # type: ignore[no-any-return]


def parse(text: str, *, strict: bool) -> Node:
    """The syntax tree of `text`. Raises ExpressionError, code `syntax` or `too_complex`."""
    if len(text) > limits.MAX_TEXT:
        raise ExpressionError(
            errors.TOO_COMPLEX, f"an expression may be at most {limits.MAX_TEXT} characters long, this has {len(text)}"
        )
    parser = StrictParser() if strict else RelaxedParser()
    try:
        tree = parser.parse_text(text)
    except exceptions.ParseError as error:
        raise _syntax_error(text, error) from error
    except exceptions.EmptyExpressionError as error:
        raise _refusal("the expression is empty", position=0) from error
    _refuse_deep(tree)
    return tree


def _syntax_error(text: str, error: exceptions.ParseError) -> ExpressionError:
    if isinstance(error, exceptions.IncompleteExpressionError):
        return _refusal(f"{text!r} ends too early", position=len(text))
    position = error.lex_position
    if isinstance(error, exceptions.LexerError):
        reason = f"{error.message[0].lower()}{error.message[1:]}"
    else:
        reason = f"unexpected {error.token_value!r}"
    return _refusal(f"{text!r}: {reason} at column {position + 1}", position=position)


def _refusal(detail: str, *, position: int) -> ExpressionError:
    return ExpressionError(errors.SYNTAX, detail, position=position, specification_name="syntax")


def _refuse_deep(tree: Node) -> None:
    """Operators in a row nest to the left without recursion in the parser; the evaluator recurses over them."""
    pending = [(tree, 1)]
    while pending:
        node, depth = pending.pop()
        if depth > limits.MAX_DEPTH:
            raise ExpressionError(errors.TOO_COMPLEX, "the expression chains too many operators")
        if node["type"] != "slice":
            pending.extend((child, depth + 1) for child in node["children"])
