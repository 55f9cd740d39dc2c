"""MCP servers that are started programs: whether they may be, how they fail, and that nothing of them goes on."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from pytest_django import Settings

from pipelines.errors import ErrorClass, PipelineError
from pipelines.servers.addresses import ServerAddress
from tests.integration.tools.calling import invoked, refusal, result
from tests.process_trees import is_alive
from tests.processes import ROOT, inherited_env
from tests.tool_servers import STDIO
from tests.waiting import wait_until


@pytest.fixture
def program(settings: Settings):
    """`program(code)`: a server that is this Python program."""
    settings.ORDINAUT_MCP_COMMANDS = [sys.executable]
    return lambda code: ServerAddress(name="odd", command=(sys.executable, "-c", code))


def pids(*files: Path) -> list[int]:
    return [int(wait_until(lambda file=file: file.exists() and file.read_text())) for file in files]


@pytest.mark.parametrize("is_canceled", [False, True], ids=["timed out", "canceled"])
def test_a_started_program_is_killed_with_all_that_it_started(settings: Settings, tmp_path: Path, is_canceled: bool):
    settings.ORDINAUT_MCP_COMMANDS = [sys.executable]
    own, child = tmp_path / "own", tmp_path / "child"
    address = ServerAddress(name="test", command=(*STDIO, str(own)))
    found: list[int] = []

    async def cut_off() -> None:
        call = asyncio.create_task(invoked(address, "slow", {"child": str(child)}, seconds=600 if is_canceled else 6))
        found.extend(await asyncio.to_thread(pids, own, child))
        assert all(map(is_alive, found))
        if is_canceled:
            call.cancel()
        with pytest.raises(asyncio.CancelledError if is_canceled else PipelineError):
            await call

    asyncio.run(cut_off())

    assert [pid for pid in found if is_alive(pid)] == []


def test_a_second_cancellation_in_the_middle_of_the_end_leaves_no_program(settings: Settings, tmp_path: Path):
    settings.ORDINAUT_MCP_COMMANDS = [sys.executable]
    own, child = tmp_path / "own", tmp_path / "child"
    address = ServerAddress(name="test", command=(*STDIO, str(own)))
    found: list[int] = []

    async def cut_off() -> None:
        call = asyncio.create_task(invoked(address, "slow", {"child": str(child)}))
        found.extend(await asyncio.to_thread(pids, own, child))
        call.cancel()
        await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    asyncio.run(cut_off())

    wait_until(lambda: not any(map(is_alive, found)), what="the end of the program")


def test_a_program_dies_with_a_worker_that_is_killed(tmp_path: Path):
    own, child = tmp_path / "own", tmp_path / "child"
    call = (
        "import asyncio, sys, django; django.setup();"
        "from tests.integration.tools.calling import invoked;"
        "from pipelines.servers.addresses import ServerAddress;"
        f"address = ServerAddress(name='test', command={(*STDIO, str(own))!r});"
        f"asyncio.run(invoked(address, 'slow', {{'child': {str(child)!r}}}, seconds=600))"
    )
    settings = {"DJANGO_SETTINGS_MODULE": "ordinaut_project.settings", "ORDINAUT_MCP_COMMANDS": sys.executable}
    worker = subprocess.Popen(
        [sys.executable, "-c", call], cwd=ROOT, env={**inherited_env(), **settings}, start_new_session=True
    )
    found = pids(own, child)

    worker.kill()
    worker.wait()

    wait_until(lambda: not is_alive(found[0]), what="the end of the program")
    os.kill(found[1], signal.SIGKILL)


def test_only_programs_that_the_host_allows_are_started(program, settings: Settings, tmp_path: Path):
    address = program(f"open({str(tmp_path / 'ran')!r}, 'w')")
    settings.ORDINAUT_MCP_COMMANDS = ["npx"]

    assert refusal(address).code == "command_refused"
    assert not (tmp_path / "ran").exists()


def test_a_program_that_is_not_there_fails_for_good(settings: Settings):
    settings.ORDINAUT_MCP_COMMANDS = ["/nowhere/server"]
    error = refusal(ServerAddress(name="odd", command=("/nowhere/server",)))

    assert (error.code, error.error_class) == ("server_not_started", ErrorClass.PERMANENT)


@pytest.mark.parametrize(
    "code",
    ["print('hello')", "import sys; sys.exit(4)", "import os; os.kill(os.getpid(), 9)", "import os; os.close(1)"],
)
def test_a_program_that_speaks_no_mcp_has_died(program, code: str):
    error = refusal(program(code))

    assert (error.code, error.error_class) == ("server_died", ErrorClass.TRANSIENT)


def test_a_program_that_says_nothing_is_given_up(program):
    error = refusal(program("import time; time.sleep(600)"), seconds=1)

    assert (error.code, error.error_class) == ("timeout", ErrorClass.TIMEOUT)


def test_a_program_that_prints_without_end_is_cut_off(program):
    endless = "import sys\nwhile True: sys.stdout.write('x' * 65536)"

    assert refusal(program(endless)).code == "too_large"


def test_a_program_that_floods_its_error_output_still_answers(settings: Settings):
    settings.ORDINAUT_MCP_COMMANDS = ["/bin/sh"]
    noisy = f"head -c 3000000 /dev/zero >&2; exec {' '.join(STDIO)}"

    assert result(ServerAddress(name="test", command=("/bin/sh", "-c", noisy)), "add", a=1, b=2) == {"sum": 3}
