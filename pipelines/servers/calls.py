"""One call of a server's tool, as the catalog holds it, and what its answer is to the step."""

import asyncio
import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.errors import ErrorClass, PipelineError
from pipelines.servers.addresses import ServerAddress, tool_name
from pipelines.tools.base import ToolContext
from pipelines.tools.plain_text import neutralised

IDEMPOTENCY_KEY = "ordinaut/idempotency-key"
_LONGEST_MESSAGE = 2000


@dataclass(frozen=True, slots=True)
class ServerTool:
    """The call of one tool. `has_output_schema`: what the server answers must be a structured value."""

    address: ServerAddress
    tool: str
    has_output_schema: bool

    @property
    def name(self) -> str:
        return tool_name(self.address.name, self.tool)

    async def __call__(self, context: ToolContext, /, **given: Any) -> Any:
        """The structured content of the answer, else its content blocks. Raises PipelineError.

        The idempotency key of the step is in the `_meta` of the call: a server that looks at it can tell repeats.
        """
        sessions = await load_sessions()
        answer = await sessions.ask(self.address, self.tool, given, {IDEMPOTENCY_KEY: context.idempotency_key})
        if answer.is_gone:
            raise PipelineError(
                "unknown_tool",
                ErrorClass.PERMANENT,
                f"the tool server {self.address.name} has no tool {self.tool} any more; refresh its tools",
            )
        if answer.asks_back:
            raise PipelineError(
                "input_required", ErrorClass.PERMANENT, f"{self.name} asks back, which no step can answer"
            )
        if answer.is_error:
            raise PipelineError("tool_failed", ErrorClass.PERMANENT, f"{self.name}: {_text_of(answer.blocks)}")
        if answer.has_structure:
            return answer.structured
        if self.has_output_schema:
            raise PipelineError(
                "output_schema",
                ErrorClass.VALIDATION,
                f"{self.name} declares the form of its result, and answered with text only",
            )
        return list(answer.blocks)


def simulated_blocks(_context: ToolContext, /, **_given: Any) -> list[dict[str, Any]]:
    """What a tool without an output schema answers in simulation; those with one answer by the schema."""
    return [{"type": "text", "text": "simulated"}]


async def load_sessions() -> Any:
    """The module of the sessions. Its first import takes half a second, which the event loop does not wait for."""
    return await asyncio.to_thread(importlib.import_module, "pipelines.servers.sessions")


def _text_of(blocks: Sequence[dict[str, Any]]) -> str:
    texts = [block["text"] for block in blocks if block.get("type") == "text"]
    return neutralised(" ".join(texts), limit=_LONGEST_MESSAGE) or "it failed and did not say why"
