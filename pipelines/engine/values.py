"""Values on their way through a run: rendered, copied through JSON, checked, bounded."""

from collections.abc import Collection, Mapping
from typing import Any

from pipelines.document.encodable import NotEncodable, copy_through_json
from pipelines.document.limits import MAX_RESULT_BYTES
from pipelines.document.problems import pointer_to
from pipelines.document.schemas import Schema
from pipelines.errors import ErrorClass, PipelineError
from pipelines.expressions import CompiledValue, Expression, ExpressionError
from pipelines.expressions.errors import TOO_COMPLEX, TOO_EXPENSIVE, TOO_LARGE

_LIMITS = frozenset({TOO_COMPLEX, TOO_EXPENSIVE, TOO_LARGE})


def render(value: CompiledValue, context: Mapping[str, Any], pointer: str) -> Any:
    """The value over `context`, shared with nothing. Raises PipelineError that points below `pointer`."""
    try:
        rendered = value.render(context)
    except ExpressionError as error:
        raise from_expression(error, pointer) from error
    return portable(rendered, what="the value", pointer=pointer)


def holds(condition: Expression, context: Mapping[str, Any], pointer: str) -> bool:
    """Raises PipelineError that points to `pointer`."""
    try:
        return condition.is_true(context)
    except ExpressionError as error:
        raise from_expression(error, pointer) from error


def portable(value: Any, *, what: str, pointer: str | None) -> Any:
    """The copy of `value` that JSON makes. Raises PipelineError where it has none or is too large."""
    try:
        copy, size = copy_through_json(value)
    except NotEncodable as error:
        place = pointer_to("", *error.fault.path)
        raise PipelineError(
            code="unusable_value",
            error_class=ErrorClass.VALIDATION,
            detail=f"{what}{f' at {place}' if place else ''}: {error.fault.reason}",
            pointer=pointer and pointer_to(pointer, *error.fault.path),
        ) from error
    if size > MAX_RESULT_BYTES:
        raise PipelineError(
            code="too_large",
            error_class=ErrorClass.LIMIT,
            detail=f"{what} has {size} bytes as JSON; {MAX_RESULT_BYTES} are allowed",
            pointer=pointer,
        )
    return copy


def check_schema(
    value: Any,
    schema: Schema,
    *,
    code: str,
    what: str,
    pointer: str | None,
    hidden: Collection[tuple[str | int, ...]] = (),
) -> None:
    """Raises PipelineError of class `validation` for the first departure of `value`, except at `hidden` places."""
    if schema.fits(value):
        return
    breach = next((each for each in schema.breaches(value) if tuple(each.path) not in hidden), None)
    if breach is None:
        return
    place = pointer_to("", *breach.path)
    raise PipelineError(
        code=code,
        error_class=ErrorClass.VALIDATION,
        detail=f"{what}{f' at {place}' if place else ''}: {breach.detail}",
        pointer=pointer and pointer_to(pointer, *breach.path),
    )


def from_expression(error: ExpressionError, pointer: str) -> PipelineError:
    detail = f"{error.detail} ({error.hint})" if error.hint else error.detail
    return PipelineError(
        code=error.code,
        error_class=ErrorClass.LIMIT if error.code in _LIMITS else ErrorClass.EXPRESSION,
        detail=detail,
        pointer=pointer_to(pointer, *error.path),
    )
