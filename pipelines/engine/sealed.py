"""The input of a tool that has secrets in it, beside the one that is shown."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pipelines.document.nodes import ToolBody
from pipelines.document.problems import pointer_to
from pipelines.engine.ports import OpenedSecret
from pipelines.engine.values import portable
from pipelines.errors import ErrorClass, PipelineError
from pipelines.expressions import SECRETS, CompiledValue, Expression, ExpressionError
from pipelines.secrets.forms import folded, host_of
from pipelines.secrets.recognition import why_unrecognisable
from pipelines.secrets.redaction import Redaction


@dataclass(frozen=True, slots=True)
class OpenedInput:
    """`hosts`: the only ones that all of its secrets may be sent to, None where none of them is limited."""

    input: Mapping[str, Any] = field(repr=False)
    redaction: Redaction
    hosts: frozenset[str] | None

    @contextmanager
    def redacted(self) -> Iterator[None]:
        """Failures and logs of this block have none of the values."""
        with self.redaction.active():
            try:
                yield
            except PipelineError as error:
                raise self.redaction.error(error) from None


def open_input(
    body: ToolBody, names: Mapping[str, Any], secrets: Mapping[str, OpenedSecret], pointer: str
) -> OpenedInput:
    """What the tool is given, checked. Raises PipelineError, in words that tell nothing of the values: also
    `secret_not_text` and `secret_too_short` where it would not be found in what the tool says."""
    values = {name: secret.value for name, secret in secrets.items()}
    context = {**names, SECRETS: values}
    try:
        given = portable(body.given.render(context), what="the input", pointer=pointer)
    except ExpressionError as error:
        raise _hidden(error.code, pointer_to(pointer, *error.path), ErrorClass.EXPRESSION) from None
    except PipelineError as error:
        raise _hidden(error.code, error.pointer or pointer, error.error_class) from None
    derived = list(_derived(body.given, context, pointer))
    breach = next(body.input_schema.breaches(given), None)
    if breach is not None:
        raise _hidden("bad_argument", pointer_to(pointer, *breach.path), ErrorClass.VALIDATION)
    limited = [secret.hosts for secret in secrets.values() if secret.hosts is not None]
    return OpenedInput(given, Redaction(values, derived), frozenset.intersection(*limited) if limited else None)


def _derived(given: CompiledValue, context: Mapping[str, Any], pointer: str) -> Iterator[tuple[str, str]]:
    """The texts that expressions have made of secrets, each with the names of these, and hosts that contain one. Raises
    PipelineError for what is no text that can be recognised. All of it has been evaluated before, so none fails."""
    for path, template in given.templates.items():
        place = pointer_to(pointer, *path)
        made = [_made(expression, context, place) for expression in template.expressions if expression.secrets]
        if made:
            label = ", ".join(sorted(template.secrets))
            yield from ((label, text) for text in made)
            whole = [] if template.is_whole else [template.render(context)]
            values = [context[SECRETS][name] for name in template.secrets]
            yield from ((label, host) for host in _hosts([*whole, *made], [*values, *made]))


def _made(expression: Expression, context: Mapping[str, Any], pointer: str) -> str:
    value = expression.evaluate(context)
    why = why_unrecognisable(value)
    if why is not None:
        raise PipelineError(why.code, ErrorClass.EXPRESSION, f"{why.detail} ({why.hint})", pointer=pointer)
    return str(value)


def _hosts(addresses: list[str], hidden: list[str]) -> Iterator[str]:
    """The hosts of addresses that have something hidden in a label that will be in Punycode, which changes with all
    that stands in it."""
    for address in addresses:
        host = folded(host_of(address))
        if host != folded(address) and not host.isascii() and any(folded(text) in host for text in hidden):
            yield host


def _hidden(code: str, pointer: str, error_class: ErrorClass) -> PipelineError:
    detail = "an input that has a secret in it is not what the tool takes, or cannot be computed; it is not shown"
    return PipelineError(code, error_class, detail, pointer=pointer)
