"""The requests of docs/how-to/trigger-tasks.md answer what the page shows, and start the runs that it promises."""

import re
from pathlib import Path
from typing import Any

import orjson
import pytest

from scheduling.clock.firing import run_pass
from scheduling.models import Run, Schedule
from tests.db.api.gateway import gateway_of

pytestmark = pytest.mark.django_db

PAGE = (Path(__file__).parents[3] / "docs" / "how-to" / "trigger-tasks.md").read_text(encoding="utf-8")
EXAMPLE = re.compile(r"```http\n(\w+) (\S+)\n(.*?)```\n\n```json\n(.*?)```", re.DOTALL)


def shown(name: str, value: Any) -> Any:
    """Ids of runs differ each time: the page shows how many there are."""
    return ["*" for _ in value] if name == "runs" else value


def test_the_page_does_what_it_says() -> None:
    api = gateway_of()
    ids: dict[str, str] = {}
    examples = EXAMPLE.findall(PAGE)
    assert len(examples) == PAGE.count("```http")

    for method, address, body, expected in examples:
        answer = api.call(method, address.format(**ids), orjson.loads(body))
        found = orjson.loads(answer.content)

        assert answer.status_code < 300, found
        for name, value in orjson.loads(expected).items():
            assert shown(name, found[name]) == value
        if address.endswith("/tasks"):
            ids.setdefault("task", found["id"])

    assert [run.trigger_kind for run in Run.objects.all()] == ["event"]
    condition = Schedule.objects.get(kind="condition")
    run_pass(now=condition.next_fire_at)
    assert Run.objects.filter(schedule=condition, trigger_kind="check").exists()
