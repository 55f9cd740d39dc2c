"""The database and Redis go away under real processes, and come back; nobody restarts anything."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
import redis

from ordinaut_project.embedded.postgres import Postgres
from ordinaut_project.embedded.valkey import Valkey
from tests.counterparts import free_port
from tests.processes import ROOT, end, manage
from tests.waiting import wait_until
from workers.supervisor import Child, spawn

TASK = {"key": "note", "title": "Note", "pipeline": {"version": 1, "steps": [{"id": "note", "set": {"done": True}}]}}


@dataclass
class Servers:
    """A PostgreSQL and a Valkey of this module's own, to be killed and started again."""

    postgres: Postgres
    valkey: Valkey
    children: dict[str, Child]

    def start_postgres(self) -> None:
        self.children["postgres"] = child = spawn(self.postgres.spec())
        self.postgres.wait_until_ready(child)

    def start_valkey(self) -> None:
        self.children["valkey"] = child = spawn(self.valkey.spec())
        self.valkey.wait_until_ready(child)

    def kill(self, name: str) -> None:
        self.children.pop(name).kill()


@dataclass
class Running:
    """Web, clock and workers on those servers."""

    servers: Servers
    processes: dict[str, subprocess.Popen[bytes]]
    api: httpx2.Client
    address: str
    clock_probe: str
    logs: Path

    def readiness(self) -> tuple[int, dict[str, Any]]:
        answer = httpx2.get(f"{self.address}/readyz", timeout=10)
        return answer.status_code, answer.json()

    def log(self, name: str) -> str:
        return (self.logs / f"{name}.log").read_text()

    def gauge(self, name: str) -> float:
        """A sample of the clock's metrics."""
        lines = httpx2.get(f"{self.clock_probe}/metrics").text.splitlines()
        (sample,) = [line for line in lines if line.startswith(f"{name} ")]
        return float(sample.split()[1])

    def ended(self, run_id: str) -> dict[str, Any] | None:
        run = self.api.get(f"/runs/{run_id}", params={"wait": "2"}).json()
        return run if run.get("state") in {"succeeded", "failed", "canceled"} else None


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    folder = tmp_path_factory.mktemp("servers")
    servers = Servers(Postgres(folder / "pg"), Valkey(folder / "vk", durable=False), {})
    servers.postgres.prepare()
    try:
        servers.start_postgres()
        servers.start_valkey()
        servers.postgres.ensure_database()
        yield servers
    finally:
        for child in servers.children.values():
            child.kill()


@pytest.fixture(scope="module")
def running(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    logs = tmp_path_factory.mktemp("logs")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    url = servers.postgres.url()
    env = {**kept, "DATABASE_URL": url, "DATABASE_DIRECT_URL": url, "REDIS_URL": servers.valkey.url()}
    command = [sys.executable, str(ROOT / "manage.py")]
    subprocess.run([*command, "migrate", "--verbosity", "0"], env=env, cwd=ROOT, check=True)
    scopes = "tasks:read,tasks:write,runs:read,runs:write,events:write"
    token = subprocess.run(
        [*command, "createagent", "assistant", "--scopes", scopes],
        env=env,
        cwd=ROOT,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout.strip()
    web_port, probe_port = free_port(), free_port()
    with ExitStack() as stack:
        web = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "ordinaut_project.asgi:application", "--port", str(web_port)],
            cwd=ROOT,
            env={**env, "ORDINAUT_DATABASE_POOL": "8"},
            stdout=(logs / "web.log").open("wb"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        stack.callback(end, web)
        clock = stack.enter_context(
            manage("runscheduler", "--probe-port", str(probe_port), env=env, log=logs / "clock.log")
        )
        workers = stack.enter_context(manage("runworkers", env=env, log=logs / "workers.log"))
        address = f"http://127.0.0.1:{web_port}"
        api = stack.enter_context(
            httpx2.Client(base_url=f"{address}/api/v1", headers={"Authorization": f"Bearer {token}"}, timeout=30)
        )
        wait_until(lambda: is_answering(address), what="the web process")
        processes = {"web": web, "clock": clock, "workers": workers}
        yield Running(servers, processes, api, address, f"http://127.0.0.1:{probe_port}", logs)


def is_answering(address: str) -> bool:
    try:
        return httpx2.get(f"{address}/readyz").status_code == 200
    except httpx2.TransportError:
        return False


def test_without_its_database_it_says_so_and_recovers_by_itself(running: Running) -> None:
    task = running.api.post("/tasks", json=TASK | {"key": "database"}).raise_for_status().json()

    running.servers.kill("postgres")

    status, body = running.readiness()
    assert (status, body["database"]) == (503, "down")
    refused = running.api.get("/tasks")
    assert refused.status_code == 503
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert int(refused.headers["Retry-After"]) > 0
    wait_until(lambda: "clock.database_is_away" in running.log("clock"), what="the clock's word")
    wait_until(lambda: "database" in running.log("workers"), what="the workers' word")
    assert "database.unavailable" in running.log("web")

    running.servers.start_postgres()

    wait_until(lambda: running.readiness()[0] == 200, what="the web process to recover")
    at = (datetime.now(UTC) + timedelta(seconds=1)).isoformat()
    schedule = {"kind": "once", "expression": at, "timezone": "UTC", "misfire": {"policy": "last"}}

    def is_stored() -> bool:
        """Another thread of the web process may find out only now, and ask to come again."""
        answer = running.api.post(f"/tasks/{task['id']}/schedules", json=schedule)
        return answer.status_code != 503 and answer.raise_for_status().status_code == 201

    wait_until(is_stored, what="the web process to store a schedule")
    (listed,) = wait_until(
        lambda: running.api.get("/runs", params={"task": task["id"]}).json().get("items"),
        timeout=40,
        what="the clock to fire again",
    )
    run = wait_until(lambda: running.ended(listed["id"]), timeout=40, what="the workers to work again")
    assert run["state"] == "succeeded"
    assert all(process.poll() is None for process in running.processes.values())


def test_without_redis_work_goes_on_and_events_wait(running: Running) -> None:
    task = running.api.post("/tasks", json=TASK | {"key": "redis"}).raise_for_status().json()
    running.servers.kill("valkey")

    started = running.api.post(f"/tasks/{task['id']}/run", json={}).raise_for_status().json()
    published = running.api.post("/events", json={"topic": "order.paid", "payload": {"n": 1}})

    run = wait_until(lambda: running.ended(started["id"]), what="the run to end without Redis")
    assert run["state"] == "succeeded"
    assert published.status_code == 202
    status, body = running.readiness()
    assert (status, body["redis"]) == (200, "degraded")
    wait_until(lambda: "redis.down" in running.log("clock"), what="the clock's word")
    wait_until(lambda: running.gauge("ordinaut_redis_up") == 0, what="the gauge")
    wait_until(lambda: running.gauge("ordinaut_outbox_backlog") == 1, what="the backlog")

    running.servers.start_valkey()

    wait_until(lambda: running.gauge("ordinaut_outbox_backlog") == 0, what="the outbox to drain")
    with redis.Redis.from_url(running.servers.valkey.url()) as client:
        ((_, entry),) = client.xrange("ordinaut:events")
    assert (entry[b"id"].decode(), entry[b"topic"]) == (published.json()["id"], b"order.paid")
    assert running.readiness() == (200, {"status": "ok", "database": "ok", "redis": "ok"})
    assert running.log("clock").count('"event":"redis.down"') == 1
