"""`make up` as a person meets it: real servers, real processes, a real first run."""

import email
import email.policy
import http.cookiejar
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from ordinaut_project.embedded.state import read_env
from tests.e2e.ups import Up, bare_environment
from tests.e2e.working_tree import ROOT
from tests.effort import in_torture_also
from tests.process_trees import tie_to_this_process
from tests.waiting import wait_until

pytestmark = pytest.mark.slow

_FIRST_START = 90.0
# The promise is five seconds on an idle machine; the tests share theirs with others.
_SECOND_START = 15.0


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """A first start, and all that follows on the same data."""
    up = Up(tmp_path_factory.mktemp("up") / "state")
    up.start("--workers", "2", within=_FIRST_START)
    yield up
    up.kill_group()


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Up]:
    """An `up` on a folder of its own, for tests that end it."""
    up = Up(tmp_path / "state")
    yield up
    if hasattr(up, "process"):
        up.kill_group()


def test_the_first_start_says_everything_one_needs(up):
    credentials = up.credentials()

    said = up.said()

    for fact in (*credentials.values(), str(up.data_dir / "mail"), str(up.data_dir / "credentials.json")):
        assert fact in said
    assert credentials["console_url"] == f"http://127.0.0.1:{up.port}/admin/"
    assert set(credentials) == {"console_url", "username", "password", "api_url", "token"}
    assert (up.data_dir / "credentials.json").stat().st_mode & 0o777 == 0o600
    assert (up.data_dir / "env").stat().st_mode & 0o777 == 0o600


def test_the_printed_curl_line_works(up):
    wait_until(lambda: "The morning briefing ran" in up.said(), what="the first run")
    line = re.search(r"curl .*", up.said())
    assert line is not None

    answer = subprocess.run(shlex.split(line.group()), capture_output=True, text=True, check=True)

    assert json.loads(answer.stdout)["items"]


def test_the_printed_log_in_opens_the_console(up):
    credentials = up.credentials()
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))
    with opener.open(credentials["console_url"]) as page:
        html, address = page.read().decode(), page.url
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', html)
    assert token is not None

    form = {
        "csrfmiddlewaretoken": token.group(1),
        "username": credentials["username"],
        "password": credentials["password"],
        "next": "/admin/",
    }
    request = urllib.request.Request(address, urllib.parse.urlencode(form).encode(), headers={"Referer": address})
    with opener.open(request) as page:
        landed, html = page.url, page.read().decode()

    assert landed == credentials["console_url"]
    assert credentials["username"] in html


def test_the_morning_briefing_ran_for_real(up):
    wait_until(lambda: "The morning briefing ran: succeeded" in up.said(), what="the first run")

    (run,) = up.get("/runs")["items"]
    steps = {step["path"]: step for step in up.get(f"/runs/{run['id']}/steps")["items"]}

    assert run["state"] == "succeeded"
    assert not run["simulated"]
    assert steps["forecast"]["output"]["body"]["city"] == "Chisinau"
    (mail,) = list((up.data_dir / "mail").iterdir())
    message = email.message_from_bytes(mail.read_bytes().split(b"\n-----")[0], policy=email.policy.default)
    body = message.get_body()
    assert body is not None
    text = body.get_content()
    assert "Stand-up" in text
    assert f"{steps['forecast']['output']['body']['temp']}°C" in text


def test_commands_in_a_second_terminal_find_the_same_database(up):
    environment = bare_environment(ORDINAUT_STATE_DIR=str(up.data_dir))
    source = "from scheduling.models import Task; print(Task.objects.get().key)"

    result = subprocess.run(
        [sys.executable, "manage.py", "shell", "--no-imports", "-c", source],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )

    assert result.stdout.splitlines()[-1:] == ["example-morning-briefing"], result.stderr


def test_a_data_directory_in_use_is_one_clear_line(up):
    command = [sys.executable, "manage.py", "up", "--data-dir", str(up.data_dir), "--port", "1"]

    refused = subprocess.run(command, cwd=ROOT, env=bare_environment(), capture_output=True, text=True)

    assert refused.returncode == 1
    assert refused.stderr == f"CommandError: {up.data_dir} is already in use by process {up.process.pid}\n"


def test_a_port_in_use_is_one_clear_line(up, tmp_path):
    command = [sys.executable, "manage.py", "up", "--data-dir", str(tmp_path / "state"), "--port", str(up.port)]

    refused = subprocess.run(command, cwd=ROOT, env=bare_environment(), capture_output=True, text=True)

    assert refused.returncode == 1
    assert refused.stderr.startswith(f"CommandError: port {up.port} is already in use")
    assert refused.stderr.count("\n") == 1
    assert not (tmp_path / "state").exists()


def test_a_folder_of_somebody_else_is_one_clear_line_and_stays_as_it_was(tmp_path):
    folder = tmp_path / "thesis"
    (folder / "mail").mkdir(parents=True)
    folder.chmod(0o755)
    command = [sys.executable, "manage.py", "up", "--data-dir", str(folder), "--reset"]

    refused = subprocess.run(command, cwd=ROOT, env=bare_environment(), capture_output=True, text=True)

    assert refused.returncode == 1
    assert refused.stderr.startswith(f"CommandError: the folder {folder} is not empty and was not made by `up`")
    assert refused.stderr.count("\n") == 1
    assert [path.name for path in folder.iterdir()] == ["mail"]
    assert folder.stat().st_mode & 0o777 == 0o755


def test_a_worker_that_is_killed_is_replaced_and_told(up):
    workers = _processes_of(up, "runworkers")
    os.kill(workers[0], signal.SIGKILL)

    wait_until(lambda: "workers ended with SIGKILL, it is started again" in up.said(), what="word of the end")

    wait_until(lambda: set(_processes_of(up, "runworkers")) - set(workers), what="new workers")


def test_sigterm_stops_all_and_a_second_start_is_quick_and_keeps_everything(up, record_property):
    before = up.credentials()
    wait_until(lambda: "The morning briefing ran" in up.said(), what="the first run")

    exit_code = up.stop(signal.SIGTERM)

    assert exit_code == 0, up.said()
    assert up.left() == []
    seconds = up.start()
    record_property("second_start_seconds", round(seconds, 2))
    assert seconds < _SECOND_START
    assert up.credentials() == before
    assert len(up.get("/runs")["items"]) == 1


def test_sigkill_of_up_leaves_no_process_and_the_next_start_recovers(up):
    if up.process.poll() is not None:
        up.start()
    up.process.kill()
    up.process.wait()

    wait_until(lambda: up.left() == [], what="the end of every process")

    up.start()
    assert up.get("/runs")["items"]


def test_reset_begins_anew(up):
    if up.process.poll() is None:
        up.stop()
    before = up.credentials()

    up.start("--reset")

    after = up.credentials()
    assert after["password"] != before["password"]
    assert after["token"] != before["token"]


@pytest.mark.parametrize(
    "how", in_torture_also(["SIGKILL of make"], ["SIGINT to the process group", "SIGTERM to make"])
)
def test_make_up_stops_with_make(other, how):
    other.command = ("make", "up", "UP=", f"VENV={sys.prefix}")
    other.start("--no-examples")

    if how == "SIGINT to the process group":
        os.killpg(other.process.pid, signal.SIGINT)
    else:
        other.process.send_signal(signal.SIGTERM if how == "SIGTERM to make" else signal.SIGKILL)

    wait_until(lambda: other.left() == [], timeout=30, what="the end of every process")
    assert "Stopped." in other.said()


def test_servers_that_are_given_are_used_and_none_is_started(process_env, other):
    given = {name: process_env[name] for name in ("DATABASE_URL", "REDIS_URL")}

    other.start("--no-examples", **given)

    assert not (other.data_dir / "postgres").exists()
    assert not (other.data_dir / "valkey").exists()
    kept = read_env(other.data_dir / "env")
    assert {name: kept[name] for name in given} == given


@pytest.mark.parametrize("step", ["Making a PostgreSQL cluster", "Preparing the database"])
def test_a_signal_during_the_start_stops_it(other, step):
    other.output = other.data_dir.with_name("early.out")
    command = [*other.command, "--port", str(other.port), "--data-dir", str(other.data_dir)]
    with other.output.open("wb") as output:
        other.process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=bare_environment(UP_MARK=other.mark),
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=tie_to_this_process,
        )
    wait_until(lambda: step in other.said(), what="that step")

    os.killpg(other.process.pid, signal.SIGINT)

    assert other.process.wait(60) == 0, other.said()
    assert other.said().endswith("Stopped.\n")
    assert other.left() == []
    assert "Ordinaut is up" not in other.said()


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
def test_all_addresses_of_ipv6_are_listened_on_and_the_machine_is_known_by_its_name(process_env, other):
    # Servers of its own would only make the start longer.
    given = {name: process_env[name] for name in ("DATABASE_URL", "REDIS_URL")}
    other.start("--no-examples", "--host", "::", **given)

    credentials = other.credentials()
    request = urllib.request.Request(
        f"http://[::1]:{other.port}/readyz", headers={"Host": f"{socket.gethostname()}:{other.port}"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200
    assert credentials["console_url"] == f"http://[::1]:{other.port}/admin/"
    assert "Answering to localhost, 127.0.0.1, [::1], " in other.said()


def _processes_of(up: Up, command: str) -> list[int]:
    """The processes directly below `up` that run this command."""
    found = []
    for pid in up.left():
        try:
            argv = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
            parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]
        except OSError:
            continue
        if command in argv and int(parent) == up.process.pid:
            found.append(pid)
    return found
