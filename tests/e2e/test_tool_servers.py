"""An MCP server that is registered while workers run: its tools are used within seconds, by real processes."""

import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from pipelines.models import ToolServer
from scheduling.audit.operations import Actor
from scheduling.models import Run
from scheduling.runs.operations import start_run
from tests.db.servers.conftest import fresh_catalog as fresh_catalog
from tests.factories import TaskFactory
from tests.processes import manage
from tests.tool_servers import STDIO, http_server
from tests.waiting import wait_until
from workers.models import Worker

pytestmark = pytest.mark.django_db(transaction=True)


def document(server: str) -> dict[str, Any]:
    step = {"id": "sum", "uses": f"mcp:{server}/add", "with": {"a": 1, "b": 2}}
    return {"version": 1, "steps": [step], "outputs": {"n": "${steps.sum.sum}"}}


def ended(server: str) -> Run:
    made = start_run(actor=Actor.system("tests"), task=TaskFactory(document=document(server)))
    return wait_until(lambda: Run.objects.filter(pk=made.pk, finished_at__isnull=False).first(), timeout=60)


def test_servers_are_registered_while_workers_run(process_env, settings, tmp_path: Path, capsys):
    with http_server() as server:
        settings.ORDINAUT_HTTP_ALLOW, settings.ORDINAUT_MCP_COMMANDS = [server.target], [sys.executable]
        env = {**process_env, "ORDINAUT_HTTP_ALLOW": server.target, "ORDINAUT_MCP_COMMANDS": sys.executable}
        with manage("runworkers", "--processes", "1", env=env, log=tmp_path / "workers.log"):
            wait_until(lambda: Worker.objects.filter(state="running").exists(), timeout=40)

            call_command("toolserver", "add", "web", "--url", server.url)
            call_command("toolserver", "add", "local", "--command", *STDIO)
            told = capsys.readouterr().out
            runs = [ended("web"), ended("local")]

    assert [made.output for made in runs] == [{"n": 3}, {"n": 3}], (tmp_path / "workers.log").read_text()[-2000:]
    assert "mcp:web/add  idempotent" in told
    assert "mcp:local/bad name  refused: no step can name it" in told
    assert ToolServer.objects.count() == 2
