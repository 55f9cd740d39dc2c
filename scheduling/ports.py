"""What scheduling asks of the layer above it. Scheduling knows when; how a pipeline is judged is not its business.

The implementation is named by a dotted path in the setting ORDINAUT_PIPELINE_PORT, because imports point down only; a
system check verifies it (`scheduling.E001`).
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol, cast

from django.utils.module_loading import import_string

from scheduling import conf

METHODS = ("validate", "normalise", "parse", "check_params", "render", "check_expression", "is_true", "judge")


class PipelinePort(Protocol):
    """The judge of pipeline documents. Problems are mappings: pointer, code, detail, hint, severity."""

    def validate(self, document: object, *, agent_id: str | None = None) -> Sequence[Mapping[str, Any]]:
        """Everything that is wrong with a document; severity `warning` does not stop it."""
        ...

    def normalise(self, document: object) -> dict[str, Any]:
        """The document in the form of version 1, as it is stored."""
        ...

    def parse(self, text: str) -> object:
        """Read YAML or JSON text. Raises a ValueError that has `problems`."""
        ...

    def check_params(self, document: object, params: object) -> Sequence[Mapping[str, Any]]:
        """What is wrong with params laid over the document's defaults; pointers begin with /params."""
        ...

    def render(self, template: str, context: Mapping[str, Any]) -> Any:
        """The value of a template such as `${params.city}`."""
        ...

    def check_expression(self, expression: str, *, names: Collection[str]) -> Sequence[Mapping[str, Any]]:
        """What is wrong with a condition such as `event.payload.total > 100` that may speak of `names`."""
        ...

    def is_true(self, expression: str, context: Mapping[str, Any]) -> bool:
        """The truth of a condition over `context`, by the language's rules and within its fuel. Raises ValueError."""
        ...

    def judge(self, expression: str, context: Mapping[str, Any], *, fuel: int) -> tuple[bool | ValueError, int]:
        """What `is_true` gives or would raise, for at most so much fuel, and how much it took."""
        ...


def pipeline_port() -> PipelinePort:
    """The configured judge; ImportError where the setting names none."""
    return cast(PipelinePort, import_string(conf.pipeline_port_path())())
