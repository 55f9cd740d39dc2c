"""What scheduling may ask of pipelines, named to it by the setting ORDINAUT_PIPELINE_PORT."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from pipelines.document import (
    DocumentInvalid,
    Problem,
    check_params,
    compile_document,
    normalise,
    parse,
    validate,
)
from pipelines.document.names import Names
from pipelines.document.problems import from_expression
from pipelines.expressions import ExpressionError, compile_condition, compile_template
from pipelines.expressions.limits import FUEL
from pipelines.expressions.metering import Meter
from pipelines.tools.base import Catalog

_FUEL_A_CHARACTER = 10  # of an expression that is compiled for it


class TemplateRefused(ValueError):  # a statement about the template
    """A template outside a document cannot be compiled or rendered; `problems` says why."""

    def __init__(self, problem: Problem) -> None:
        self.problems = (problem,)
        super().__init__(problem.detail)


class PipelinePort:
    """The judge of documents, over this host's catalog. Problems are given as dictionaries."""

    def validate(self, document: object, *, agent_id: str | None = None) -> list[dict[str, Any]]:
        """Everything that is wrong with a document, warnings included; empty where it can be stored as it is.

        Every agent may use every tool of the host, and its own secrets; with `agent_id` None any secret is taken. Reads
        the database where the document names secrets of an agent, or roles.
        """
        secrets = None if agent_id is None else _SecretsOf(agent_id)
        return _shown(validate(document, catalog=_catalog(), secrets=secrets, roles=_Roles()))

    def normalise(self, document: object) -> dict[str, Any]:
        """The document in the form to store. Raises DocumentInvalid, a ValueError, for what is no object."""
        normal = normalise(document)
        if not isinstance(normal, dict):
            raise DocumentInvalid(validate(document, catalog=_catalog()))
        return normal

    def parse(self, text: str) -> object:
        """The value of YAML or JSON text. Raises DocumentInvalid, a ValueError with `problems`."""
        return parse(text)

    def check_params(self, document: object, params: object) -> list[dict[str, Any]]:
        """What keeps the document from running with these params; pointers begin with `/params`."""
        try:
            pipeline = compile_document(document, catalog=_catalog())
        except DocumentInvalid as error:
            return _shown(error.problems)
        return _shown(check_params(pipeline, params))

    def render(self, template: str, context: Mapping[str, Any]) -> Any:
        """The value of a template over `context`. Raises TemplateRefused."""
        try:
            return compile_template(template).render(context)
        except ExpressionError as error:
            raise TemplateRefused(from_expression(error, "")) from error

    def check_expression(self, expression: str, *, names: Collection[str]) -> list[dict[str, Any]]:
        """What is wrong with a condition outside of a document: its form, its functions, the names it speaks of."""
        try:
            condition = compile_condition(expression)
        except ExpressionError as error:
            return _shown([from_expression(error, "")])
        known = Names(
            roots=frozenset(names),
            steps=frozenset(),
            all_steps=frozenset(),
            params=None,
            secrets=None,
            is_document=False,
        )
        ordered = sorted(condition.references, key=lambda each: (each.root, each.member or ""))
        return _shown([problem for reference in ordered for problem in known.problems(reference, "")])

    def is_true(self, expression: str, context: Mapping[str, Any]) -> bool:
        """The truth of a condition, as JMESPath has it. Raises TemplateRefused."""
        try:
            return compile_condition(expression).is_true(context)
        except ExpressionError as error:
            raise TemplateRefused(from_expression(error, "")) from error

    def judge(self, expression: str, context: Mapping[str, Any], *, fuel: int) -> tuple[bool | ValueError, int]:
        """What `is_true` gives or would raise, for at most so much fuel, and how much it took, reading included."""
        reading = _FUEL_A_CHARACTER * len(expression)
        meter = Meter(min(fuel, FUEL))
        try:
            truth: bool | ValueError = compile_condition(expression).is_true(context, meter)
        except ExpressionError as error:
            truth = TemplateRefused(from_expression(error, ""))
        return truth, reading + min(fuel, FUEL) - max(meter.fuel, 0)


class _SecretsOf(Mapping[str, Collection[str]]):
    """The tools that may have each secret of an agent; asked for when a document names the first one."""

    def __init__(self, agent_id: str) -> None:
        self._agent_id = agent_id

    @cached_property
    def _found(self) -> Mapping[str, Collection[str]]:
        # Models are not ready while apps are imported.
        from pipelines.secrets.selectors import tools_of_secrets

        return tools_of_secrets(self._agent_id)

    def __getitem__(self, name: str) -> Collection[str]:
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)


class _Roles(Collection[str]):
    """What approvals may name as roles; asked for when a document names the first one."""

    @cached_property
    def _found(self) -> Collection[str]:
        # Models are not ready while apps are imported.
        from scheduling.agents.roles import words_for_deciders

        return words_for_deciders()

    def __contains__(self, name: object) -> bool:
        return name in self._found

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)


def _catalog() -> Catalog:
    # It reads settings and models, which are not ready while apps are imported.
    from pipelines.servers.offers import current_catalog

    return current_catalog()


def _shown(problems: Sequence[Problem]) -> list[dict[str, Any]]:
    return [problem.as_dict() for problem in problems]
