"""The main job: a real task, posted through the API, fired by a real clock, run by real workers, seen in the console.

Nothing is mocked: web, clock and workers are processes, weather and mail are servers that this test runs.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx2
import orjson
import pytest
from django.contrib.auth.hashers import PBKDF2PasswordHasher

from scheduling.models import DueWork, Operator
from tests.counterparts import Mailbox, WebServer, free_port, smtp_server, web_server
from tests.factories import AgentTokenFactory, OperatorFactory
from tests.invariants import broken_invariants
from tests.processes import ROOT, end, manage
from tests.waiting import wait_until
from workers.models import Worker

pytestmark = pytest.mark.django_db(transaction=True)

EXAMPLES = ROOT / "tests" / "examples"
FORECAST = {"summary": "Sunny", "temp": 22, "rain_mm": 0}


@dataclass
class Installation:
    """A running Ordinaut and what it talks to."""

    api: httpx2.Client
    address: str
    web: WebServer
    mail: Mailbox
    stack: ExitStack
    env: dict[str, str]
    logs: Path

    def start_workers(self, name: str) -> subprocess.Popen[bytes]:
        return self.stack.enter_context(
            manage(
                *("runworkers", "--processes", "1", "--concurrency", "4"),
                env=self.env,
                log=self.logs / f"{name}.log",
            )
        )

    def finished(self, run_id: str) -> dict[str, Any]:
        """The run when it has ended, by long polls."""

        def ended() -> dict[str, Any] | None:
            run = self.api.get(f"/runs/{run_id}", params={"wait": "5"}).raise_for_status().json()
            return run if run["state"] in {"succeeded", "failed", "canceled"} else None

        return wait_until(ended, timeout=40, what=f"run {run_id} to end")


@pytest.fixture
def installation(process_env: dict[str, str], tmp_path: Path) -> Iterator[Installation]:
    shutil.copy(EXAMPLES / "day.ics", tmp_path / "day.ics")
    token = AgentTokenFactory(agent__scopes=["tasks:read", "tasks:write", "runs:read", "runs:write"])
    port = free_port()
    with ExitStack() as stack:
        web = stack.enter_context(
            web_server({"/v1/forecast": FORECAST, "/a": {"n": 1}, "/b": {"n": 2}, "/slow": {"n": 3}})
        )
        mailbox, smtp_port = stack.enter_context(smtp_server())
        env = {
            **process_env,
            "ORDINAUT_HTTP_ALLOW": web.address,
            "ORDINAUT_CALENDAR_DIR": str(tmp_path),
            "ORDINAUT_SMTP_HOST": "127.0.0.1",
            "ORDINAUT_SMTP_PORT": str(smtp_port),
            "ORDINAUT_BEAT_INTERVAL": "0.2",
            "ORDINAUT_ABORT_AFTER": "2",
            "ORDINAUT_REAP_AFTER": "3",
        }
        server = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "ordinaut_project.asgi:application", "--port", str(port)],
            cwd=ROOT,
            env=env,
            stdout=(tmp_path / "web.log").open("wb"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        stack.callback(end, server)
        address = f"http://127.0.0.1:{port}"
        api = stack.enter_context(
            httpx2.Client(base_url=f"{address}/api/v1", headers={"Authorization": f"Bearer {token.secret}"}, timeout=30)
        )
        wait_until(lambda: is_ready(address), timeout=30, what="the web process to be ready")
        stack.enter_context(manage("runscheduler", env=env, log=tmp_path / "clock.log"))
        yield Installation(api, address, web, mailbox, stack, env, tmp_path)


def is_ready(address: str) -> bool:
    try:
        return httpx2.get(f"{address}/readyz").status_code == 200
    except httpx2.TransportError:
        return False


def test_the_morning_briefing_is_posted_fired_run_and_shown(installation: Installation) -> None:
    installation.start_workers("workers")
    request = orjson.loads((EXAMPLES / "morning-briefing.request.json").read_bytes())
    request["pipeline"]["params"]["weather_url"] = f"http://{installation.web.address}/v1/forecast"

    posted = installation.api.post("/tasks", json=request)
    assert posted.status_code == 201, posted.text
    task = posted.json()
    (briefing,) = installation.api.get(f"/tasks/{task['id']}/schedules").raise_for_status().json()["items"]
    preview = installation.api.get(f"/schedules/{briefing['id']}/preview", params={"count": "5"}).raise_for_status()
    assert_weekdays_at_eight(preview.json()["next"])

    at = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=3)
    added = installation.api.post(
        f"/tasks/{task['id']}/schedules", json={"kind": "once", "expression": at.isoformat(), "timezone": "UTC"}
    )
    assert added.status_code == 201, added.text
    listed = wait_until(
        lambda: installation.api.get("/runs", params={"task": task["id"]}).raise_for_status().json()["items"],
        what="the run to appear",
    )
    run = installation.finished(listed[0]["id"])

    assert run["state"] == "succeeded", run["error"]
    assert datetime.fromisoformat(run["scheduled_for"]) == at
    assert run["simulated"] is False
    assert run["output"] == {"events": run["output"]["events"], "text": "Weather: Sunny (22°C)"}
    steps = {
        step["path"]: step
        for step in installation.api.get(f"/runs/{run['id']}/steps").raise_for_status().json()["items"]
    }
    titles = [item["title"] for item in steps["events"]["output"]["items"]]
    assert "Stand-up" in titles
    assert run["output"]["events"] == len(titles)
    assert steps["forecast"]["output"]["body"] == FORECAST
    assert (steps["umbrella"]["state"], steps["umbrella"]["output"]) == ("skipped", None)
    assert steps["summary"]["state"] == "succeeded"
    (mail,) = installation.mail.messages
    assert mail["Subject"] == "Your day in Chisinau"
    text = mail.get_content().strip()
    assert text == (f"Weather: Sunny (22°C). You have {len(titles)} events: {', '.join(titles)}")
    page = console_page_of(installation, run["id"])
    for step in ("events", "forecast", "umbrella", "summary"):
        assert step in page
    assert broken_invariants() == {}


def assert_weekdays_at_eight(firings: list[dict[str, str]]) -> None:
    assert len(firings) == 5
    zone = ZoneInfo("Europe/Chisinau")
    for firing in firings:
        local = datetime.fromisoformat(firing["local"])
        assert (local.hour, local.minute, local.second) == (8, 0, 0)
        assert local.weekday() < 5
        assert local.utcoffset() == local.replace(tzinfo=None).replace(tzinfo=zone).utcoffset()
        assert datetime.fromisoformat(firing["utc"]) == local


def console_page_of(installation: Installation, run_id: str) -> str:
    """Log in as an operator, over HTTP, and open the page of the run."""
    # The tests' own quick hasher is not among those of a real web process.
    password = PBKDF2PasswordHasher().encode("correct horse battery", "salt")
    operator = OperatorFactory(admin=True)
    Operator.objects.filter(pk=operator.pk).update(password=password)
    with httpx2.Client(base_url=installation.address, follow_redirects=True) as console:
        form = console.get("/admin/login/").text
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', form)
        assert token is not None
        answer = console.post(
            "/admin/login/?next=/admin/",
            data={
                "username": operator.username,
                "password": "correct horse battery",
                "csrfmiddlewaretoken": token[1],
            },
            headers={"Referer": installation.address},
        )
        assert answer.status_code == 200, answer.text
        return console.get(f"/admin/scheduling/run/{run_id}/change/").raise_for_status().text


FOUR_STEPS = {
    "version": 1,
    "params": {"host": ""},
    "steps": [
        {"id": "first", "uses": "http.request", "with": {"url": "http://${params.host}/a"}},
        {"id": "second", "uses": "http.request", "with": {"url": "http://${params.host}/b"}},
        {"id": "third", "uses": "http.request", "with": {"url": "http://${params.host}/slow"}},
        {
            "id": "fourth",
            "uses": "email.send",
            "with": {"to": "me@example.com", "subject": "Done", "text": "Second: ${steps.second.body.n}"},
        },
    ],
    "outputs": {"third": "${steps.third.body.n}"},
}


def test_a_run_whose_worker_is_killed_is_finished_by_another(installation: Installation) -> None:
    installation.web.block("/slow")
    hosts = [installation.start_workers(name) for name in ("one", "other")]
    wait_until(lambda: Worker.objects.live().count() == 2, what="two workers")
    task = installation.api.post(
        "/tasks", json={"key": "four", "title": "Four steps", "pipeline": FOUR_STEPS}
    ).raise_for_status()
    started = installation.api.post(
        f"/tasks/{task.json()['id']}/run", json={"params": {"host": installation.web.address}}
    )
    assert started.status_code == 202, started.text
    run_id = started.json()["id"]
    wait_until(lambda: installation.web.requests["/slow"] == 1, what="the third step to block")

    kill_the_host_of(run_id, hosts)
    wait_until(lambda: installation.web.requests["/slow"] == 2, what="another worker to take the third step")
    installation.web.release()
    run = installation.finished(run_id)

    assert run["state"] == "succeeded", run["error"]
    assert run["output"] == {"third": 3}
    assert (installation.web.requests["/a"], installation.web.requests["/b"]) == (1, 1)
    assert installation.web.requests["/slow"] == 2
    assert [mail["Subject"] for mail in installation.mail.messages] == ["Done"]
    assert broken_invariants() == {}


def kill_the_host_of(run_id: str, hosts: list[subprocess.Popen[bytes]]) -> None:
    """SIGKILL the process that runs it and the supervisor above it: nobody is left to hand anything over."""
    owner = Worker.objects.get(boot_id=DueWork.objects.get(run_id=run_id).lease_owner)
    (host,) = [host for host in hosts if parent_of(owner.pid) == host.pid]
    os.kill(host.pid, signal.SIGKILL)
    try:
        os.kill(owner.pid, signal.SIGKILL)
    except ProcessLookupError:
        return  # it went with its supervisor


def parent_of(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[1])
