"""The requests and the command of docs/how-to/retention.md answer what the page shows."""

import re
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import orjson
import pytest
from django.conf import settings as project_settings
from django.core.management import call_command

from scheduling.models import Run, Task
from tests.db.api.gateway import gateway_of
from tests.factories import RunFactory
from workers import conf

pytestmark = pytest.mark.django_db(transaction=True)

PAGE = (Path(__file__).parents[3] / "docs" / "how-to" / "retention.md").read_text(encoding="utf-8")
EXAMPLE = re.compile(r"```http\n(\w+) (\S+)\n(.*?)```\n\n```json\n(.*?)```", re.DOTALL)
COMMAND = re.compile(r"```console\n\$ manage\.py (.*?)\n(.*?)```", re.DOTALL)


def prune(*arguments: str) -> str:
    said = StringIO()
    call_command("prune", *arguments, stdout=said)
    return said.getvalue()


def test_the_page_does_what_it_says() -> None:
    api = gateway_of()
    ids: dict[str, str] = {}
    examples = EXAMPLE.findall(PAGE)
    assert len(examples) == PAGE.count("```http")

    for method, address, body, shown in examples:
        answer = api.call(method, address.format(**ids), orjson.loads(body))
        found: dict[str, Any] = orjson.loads(answer.content)
        expected = orjson.loads(shown)

        assert answer.status_code < 300, found
        assert {name: found[name] for name in expected} == expected
        ids.setdefault("task", found["id"])

    [(words, shown)] = COMMAND.findall(PAGE)
    Task.objects.update(keep_runs=2, keep_for=None)
    for _ in range(5):
        RunFactory(task=Task.objects.get(), state="succeeded", finished_at=datetime.now(UTC))
    assert prune(*words.split()[1:]) == shown
    assert Run.objects.count() == 5
    assert "surplus      3" in prune("--kind", "surplus")
    assert Run.objects.count() == 2


@pytest.mark.parametrize("what", conf.DEFAULT_KEEP)
def test_the_page_has_the_defaults(what: str) -> None:
    days = conf.DEFAULT_KEEP[what].days
    [row] = [line for line in PAGE.splitlines() if f"`ORDINAUT_KEEP_{what.upper()}`" in line]

    assert f"| {days} days |" in row
    assert getattr(project_settings, f"ORDINAUT_KEEP_{what.upper()}") == conf.DEFAULT_KEEP[what]


def test_kinds_that_are_kept_for_ever_are_said_so(settings: Any) -> None:
    settings.ORDINAUT_KEEP_FAILED = conf.keep("failed") * 0

    assert prune("--kind", "failed") == "failed       kept for ever\n"
