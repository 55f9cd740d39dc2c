"""Compiled values: any JSON value whose strings may be templates. Keys are never templates."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.expressions.analysis import Reference
from pipelines.expressions.errors import ExpressionError
from pipelines.expressions.metering import measure
from pipelines.expressions.templates import Template, compile_template

Path = tuple[str | int, ...]
Renderer = Callable[[Mapping[str, Any]], Any]


@dataclass(frozen=True, slots=True)
class CompiledValue:
    """`templates` are the places that are not literal; `source` is the value as written."""

    source: Any
    templates: Mapping[Path, Template]
    _renderer: Renderer | None

    def render(self, context: Mapping[str, Any]) -> Any:
        """The value over `context`; literal parts are shared with `source`, so treat it as read-only.

        Raises ExpressionError, whose `path` leads from the value to the text that failed.
        """
        if self._renderer is None:
            return self.source
        rendered = self._renderer(context)
        if len(self.templates) > 1:
            # Each expression is bounded; many of them may still name the same large value.
            measure(rendered)
        return rendered

    @property
    def secrets(self) -> frozenset[str]:
        """The names of the secrets that it reads."""
        return frozenset(name for template in self.templates.values() for name in template.secrets)

    def masked(self, mask: Callable[[frozenset[str]], str]) -> "CompiledValue":
        """The same value with a text in the place of each expression that reads a secret."""
        if not self.secrets:
            return self
        templates: dict[Path, Template] = {}
        renderer = _Compiler(templates, [], lambda template: template.masked(mask)).compile(self.source, ())
        return CompiledValue(self.source, templates, renderer)

    @property
    def references(self) -> Iterator[tuple[Path, Reference]]:
        """Every reference into the context, with the place of its template."""
        for path, template in self.templates.items():
            for reference in sorted(template.references, key=lambda each: (each.root, each.member or "")):
                yield path, reference


def compile_value(value: Any) -> CompiledValue:
    """Compile every string in `value`. Raises the first ExpressionError, with its `path`."""
    problems: list[ExpressionError] = []
    compiled = compile_value_with_problems(value, problems)
    if problems:
        raise problems[0]
    return compiled


def compile_value_with_problems(value: Any, problems: list[ExpressionError]) -> CompiledValue:
    """Compile every string in `value`, adding each error to `problems`; a text with one is kept literal."""
    templates: dict[Path, Template] = {}
    renderer = _Compiler(templates, problems).compile(value, ())
    return CompiledValue(value, templates, renderer)


class _Compiler:
    def __init__(
        self,
        templates: dict[Path, Template],
        problems: list[ExpressionError],
        change: Callable[[Template], Template] = lambda template: template,
    ) -> None:
        self._templates = templates
        self._problems = problems
        self._change = change

    def compile(self, value: Any, path: Path) -> Renderer | None:
        """A renderer, None where `value` is literal."""
        if isinstance(value, str):
            return self._compile_text(value, path) if "${" in value else None
        if isinstance(value, dict):
            return self._compile_items(value, value.items(), path, _render_object)
        if isinstance(value, list):
            return self._compile_items(value, enumerate(value), path, _render_list)
        return None

    def _compile_text(self, text: str, path: Path) -> Renderer | None:
        try:
            template = self._change(compile_template(text))
        except ExpressionError as error:
            error.path = path
            self._problems.append(error)
            return None
        if template.is_literal:
            unescaped = template.render({})
            return lambda _context: unescaped
        self._templates[path] = template
        return lambda context: _render_at(template, path, context)

    def _compile_items(self, value: Any, items: Any, path: Path, render: Callable[..., Any]) -> Renderer | None:
        renderers = {key: found for key, item in items if (found := self.compile(item, (*path, key))) is not None}
        if not renderers:
            return None
        return lambda context: render(value, renderers, context)


def _render_object(value: dict[str, Any], renderers: Mapping[Any, Renderer], context: Mapping[str, Any]) -> Any:
    return {key: renderers[key](context) if key in renderers else item for key, item in value.items()}


def _render_list(value: list[Any], renderers: Mapping[Any, Renderer], context: Mapping[str, Any]) -> Any:
    return [renderers[index](context) if index in renderers else item for index, item in enumerate(value)]


def _render_at(template: Template, path: Path, context: Mapping[str, Any]) -> Any:
    try:
        return template.render(context)
    except ExpressionError as error:
        error.path = path
        raise
