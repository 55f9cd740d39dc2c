"""Dockerfile, compose file and Makefile agree with each other and with the rules of running in a container.

No Docker engine is needed. What only an engine can show (that the image builds and starts) is not shown here; the RUN
lines themselves are run, on this machine.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from ruamel.yaml import YAML

from tests.e2e.ups import free_port
from tests.e2e.working_tree import WITHOUT_COMPILING
from tests.process_trees import tie_to_this_process
from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
_OWN_SERVICES = ("migrate", "web", "clock", "workers")


@pytest.fixture(scope="module")
def compose() -> Any:
    return YAML(typ="safe").load((ROOT / "compose.yaml").read_text(encoding="utf-8"))


def _instructions(name: str) -> list[str]:
    joined = DOCKERFILE.replace("\\\n", " ")
    return [line.partition(" ")[2].strip() for line in joined.splitlines() if line.startswith(f"{name} ")]


def _image_targets() -> list[str]:
    return [target for line in _instructions("RUN") for target in line.removeprefix("make ").split()]


def test_each_run_line_is_a_make_target():
    assert _instructions("RUN")
    assert all(line.startswith("make ") for line in _instructions("RUN"))
    assert all(re.search(rf"^{target}:", MAKEFILE, re.MULTILINE) for target in _image_targets())


def test_base_images_are_pinned_and_the_last_stage_is_slim():
    images = [line.split()[0] for line in _instructions("FROM")]

    assert all(re.fullmatch(r"python:3\.\d+(-slim)?-bookworm", image) for image in images)
    assert images[-1].endswith("-slim-bookworm")


def test_the_image_runs_as_a_numbered_user_that_is_not_root():
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", _instructions("USER")[-1])


def test_the_image_gets_only_what_it_copies():
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    copied = {source for line in _instructions("COPY") if not line.startswith("--from") for source in line.split()[:-1]}

    assert ignored.count("*") == 1
    assert {line[1:] for line in ignored if line.startswith("!")} == copied
    assert all((ROOT / source).exists() for source in copied)


def test_compose_has_servers_and_the_three_processes(compose):
    assert set(compose["services"]) == {"postgres", "redis", *_OWN_SERVICES}
    assert set(compose["volumes"]) == {"postgres", "redis"}


def test_compose_asks_for_each_secret_and_holds_none(compose):
    text = (ROOT / "compose.yaml").read_text(encoding="utf-8")

    for secret in ("POSTGRES_PASSWORD", "ORDINAUT_SECRET_KEY"):
        assert re.findall(rf"\$\{{{secret}(.)", text) == [":"] * text.count("${" + secret)
        assert f"${{{secret}:?" in text


def test_every_long_running_service_has_a_health_check_and_restarts(compose):
    for name, service in compose["services"].items():
        if name != "migrate":
            assert service["healthcheck"]["test"][0] == "CMD", name
            assert service["restart"] == "unless-stopped", name


def test_own_services_are_read_only_without_capabilities_and_wait_for_the_migration(compose):
    for name in _OWN_SERVICES:
        service = compose["services"][name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        if name != "migrate":
            assert service["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}


def test_the_workers_get_more_time_to_stop_than_their_own_grace(compose, settings):
    grace = int(compose["services"]["workers"]["stop_grace_period"].removesuffix("s"))

    assert grace > settings.ORDINAUT_GRACE.total_seconds()


def test_the_commands_of_the_services_exist(compose):
    from django.core.management import get_commands

    commands = [compose["services"][name].get("command") for name in _OWN_SERVICES]

    assert {command[1] for command in commands if command} <= set(get_commands())


@pytest.mark.slow
def test_the_run_lines_of_the_image_work_on_this_machine(tmp_path):
    app = tmp_path / "app"
    app.mkdir()
    for line in _instructions("COPY"):
        for source in () if line.startswith("--from") else line.split()[:-1]:
            copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy
            copy(ROOT / source, app / source)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ORDINAUT_", "MAKE"))}
    environment |= WITHOUT_COMPILING

    subprocess.run(["make", *_image_targets(), f"IMAGE_VENV={tmp_path / 'venv'}"], cwd=app, env=environment, check=True)

    assert (app / "static-build" / "staticfiles.json").exists()
    check = [tmp_path / "venv/bin/python", "-c", "import ordinaut_project.settings, uvicorn, scheduling"]
    assert subprocess.run(check, cwd=tmp_path, env=environment).returncode == 0


def test_the_health_checks_ask_by_a_name_that_the_services_answer_to(compose):
    allowed = compose["services"]["web"]["environment"]["ORDINAUT_ALLOWED_HOSTS"].split(",")

    assert urlsplit(compose["services"]["web"]["healthcheck"]["test"][-1]).hostname in allowed


@pytest.fixture
def web_in_production() -> Iterator[str]:
    """The image's own command on this machine: production settings, nothing else in the environment, no database."""
    port = free_port()
    command = json.loads(_instructions("CMD")[-1])
    command = [part if part != "8000" else str(port) for part in command]
    environment = {
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "ORDINAUT_SECRET_KEY": "a-key-for-this-test-alone-" * 3,
        "ORDINAUT_ALLOWED_HOSTS": "127.0.0.1,ordinaut.example",
        "ORDINAUT_STATE_DIR": "/nonexistent",
    }
    with subprocess.Popen(
        [sys.executable, *command], cwd=ROOT, env=environment, stderr=subprocess.DEVNULL, preexec_fn=tie_to_this_process
    ) as web:
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            web.kill()


def test_the_image_s_command_starts_in_production_and_its_health_check_passes(web_in_production):
    def is_healthy() -> bool:
        probe = [sys.executable, "deploy/probe.py", f"{web_in_production}/livez"]
        return subprocess.run(probe, cwd=ROOT, stderr=subprocess.DEVNULL).returncode == 0

    assert wait_until(is_healthy, what="the health check")


def test_a_probe_of_nothing_fails():
    probe = [sys.executable, "deploy/probe.py", f"http://127.0.0.1:{free_port()}/livez"]

    assert subprocess.run(probe, cwd=ROOT, capture_output=True).returncode == 1
