"""The requests of docs/how-to/exclude-holidays.md answer what the page shows."""

import re
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.db.api.gateway import NOTE, gateway_of

pytestmark = pytest.mark.django_db

PAGE = (Path(__file__).parents[3] / "docs" / "how-to" / "exclude-holidays.md").read_text(encoding="utf-8")
EXAMPLE = re.compile(r"```http\n(\w+) (\S+)\n(.*?)```\n\n```json\n(.*?)```", re.DOTALL)


def test_the_page_does_what_it_says() -> None:
    api = gateway_of()
    task = api.post("tasks", {"key": "briefing", "pipeline": NOTE}).json()
    ids = {"task": task["id"]}
    examples = EXAMPLE.findall(PAGE)
    assert len(examples) == PAGE.count("```http")

    for method, address, body, shown in examples:
        answer = api.call(method, address.format(**ids), orjson.loads(body) if body else None)
        found: dict[str, Any] = orjson.loads(answer.content)
        expected = orjson.loads(shown)

        assert answer.status_code < 300, found
        assert {name: found[name] for name in expected} == expected
        if method == "POST":
            ids.setdefault("schedule" if "schedules" in address else "calendar", found["id"])
