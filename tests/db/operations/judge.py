"""A judge of pipelines for these tests: a document is right when it has steps; a tool is known unless it says not."""

from collections.abc import Mapping
from typing import Any


class Unreadable(ValueError):
    problems = ({"pointer": "", "code": "yaml", "detail": "Line 1: no.", "hint": None},)


class Judge:
    """What `scheduling.ports.PipelinePort` asks for, without a catalog and without a language."""

    def validate(self, document: Any, *, agent_id: str | None = None) -> list[Mapping[str, Any]]:
        return [
            {
                "pointer": f"/steps/{index}/uses",
                "code": "unknown_tool",
                "detail": "There is no such tool.",
                "hint": "Did you mean 'log.write'?",
                "severity": "error",
            }
            for index, step in enumerate(document.get("steps", []))
            if step.get("uses", "").startswith("no.")
        ]

    def normalise(self, document: Any) -> dict[str, Any]:
        return {"version": 1, **document}

    def parse(self, text: str) -> object:
        if text != "steps: []":
            raise Unreadable("unreadable")
        return {"steps": []}

    def check_params(self, document: Any, params: Any) -> list[Mapping[str, Any]]:
        missing = [name for name in document.get("needs", []) if name not in params]
        return [
            {
                "pointer": "/params",
                "code": "required",
                "detail": f"{name} is required.",
                "hint": None,
                "severity": "error",
            }
            for name in missing
        ]

    def render(self, template: str, context: Mapping[str, Any]) -> Any:
        return template.replace("${params.city}", str(context["params"]["city"]))
