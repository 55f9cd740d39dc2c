"""Synchronous tools in real processes: what a tool does there never reaches the worker."""

import asyncio
import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import ErrorClass, PipelineError
from pipelines.tools import frames
from pipelines.tools.base import ToolSpec
from pipelines.tools.isolation import Isolation
from tests.integration.tools import module_with_settings
from tests.integration.tools import sample_tools as tools

SHORT = timedelta(seconds=0.4)
LONG = timedelta(seconds=20)


def is_running(pid: int) -> bool:
    """True for a process that is alive; a dead one that nobody has waited for does not count."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


def wait_until(condition: Callable[[], bool], *, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.005)


@pytest.fixture
def isolated(context):
    """`isolated(spec, timeout, **input)`: one call in a pool of its own, which is closed afterwards."""

    def run(spec: ToolSpec, timeout: timedelta = LONG, /, **given: Any) -> Any:
        async def once() -> Any:
            async with Isolation(size=1) as isolation:
                return await isolation.call(spec, context, given, timeout)

        return asyncio.run(once())

    return run


@pytest.fixture
def with_pool(context):
    """`with_pool(use, size=...)`: run `use(isolation, call)` on one loop."""

    def run(use: Callable[[Isolation, Callable[..., Awaitable[Any]]], Awaitable[Any]], **options: Any) -> Any:
        async def once() -> Any:
            async with Isolation(**{"size": 1} | options) as isolation:

                async def call(spec: ToolSpec, timeout: timedelta = LONG, /, **given: Any) -> Any:
                    return await isolation.call(spec, context, given, timeout)

                return await use(isolation, call)

        return asyncio.run(once())

    return run


def failure(isolated, spec, *args, **given) -> PipelineError:
    with pytest.raises(PipelineError) as caught:
        isolated(spec, *args, **given)
    return caught.value


def test_a_call_runs_in_another_process_and_knows_its_context(isolated, context):
    result = isolated(tools.echo, text="grüß \U0001f600", number=1.5, nothing=None)

    assert result["pid"] != os.getpid()
    assert (result["text"], result["number"], result["nothing"]) == ("grüß \U0001f600", 1.5, None)
    assert (result["key"], result["now"]) == (context.idempotency_key, context.now.isoformat())


def test_a_clean_process_is_used_again(with_pool):
    async def use(isolation, call):
        return [(await call(tools.echo))["pid"] for _ in range(3)]

    assert len(set(with_pool(use))) == 1


def test_a_process_is_replaced_after_so_many_calls(with_pool, settings):
    settings.ORDINAUT_ISOLATED_MAX_CALLS = 2

    async def use(isolation, call):
        return [(await call(tools.echo))["pid"] for _ in range(5)]

    pids = with_pool(use)

    assert [pids[0] == pids[1], pids[2] == pids[3], len(set(pids))] == [True, True, 3]


@pytest.mark.parametrize(("mebibytes", "processes"), [(1, 3), (10_000, 1)])
def test_a_process_above_its_memory_is_replaced_after_its_call(with_pool, settings, mebibytes, processes):
    settings.ORDINAUT_ISOLATED_MAX_MEMORY = mebibytes

    async def use(isolation, call):
        return [(await call(tools.echo))["pid"] for _ in range(3)]

    assert len(set(with_pool(use))) == processes


def test_no_more_calls_run_at_a_time_than_the_pool_has_processes(with_pool):
    async def use(isolation, call):
        return await asyncio.gather(*(call(tools.echo) for _ in range(6)))

    assert len({result["pid"] for result in with_pool(use, size=2)}) <= 2


def test_a_call_that_waits_for_a_process_is_known_until_it_has_one_or_is_canceled(context):
    async def use():
        async with Isolation(size=1) as isolation:

            def call(path, spec, **given):
                called = replace(context, step_path=path)
                return asyncio.create_task(isolation.call(spec, called, given, LONG))

            def waiting():
                return [path for path in ("a", "b", "c") if isolation.is_waiting(context.run_id, path)]

            calls = [call("a", tools.ignore_signals), call("b", tools.echo), call("b", tools.echo)]
            calls.append(call("c", tools.echo))
            await asyncio.sleep(0)
            seen = [waiting()]
            for canceled in (calls[1], calls[3]):
                canceled.cancel()
                await asyncio.wait({canceled})
                seen.append(waiting())
            calls[0].cancel()
            await calls[2]
            return [*seen, waiting()]

    assert asyncio.run(use()) == [["b", "c"], ["b", "c"], ["b"], []]


@pytest.mark.parametrize("spec", [tools.hold_the_interpreter_lock, tools.ignore_signals])
def test_what_no_signal_stops_is_killed_at_the_time_out(isolated, spec):
    began = time.monotonic()

    error = failure(isolated, spec, SHORT)

    assert (error.code, error.error_class) == ("timeout", ErrorClass.TIMEOUT)
    assert time.monotonic() - began < 5


def test_a_spinning_tool_does_not_stop_the_loop_and_its_process_is_gone_after(with_pool, tmp_path):
    note = tmp_path / "pid"

    async def use(isolation, call):
        beats = 0
        spinning = asyncio.create_task(call(tools.spin, timedelta(seconds=1), note=str(note)))
        while not spinning.done():
            await asyncio.sleep(0.01)
            beats += 1
        with pytest.raises(PipelineError, match="timeout"):
            await spinning
        return beats, (await call(tools.echo))["pid"]

    beats, next_pid = with_pool(use)

    assert beats > 20
    assert next_pid != int(note.read_text())
    assert not is_running(int(note.read_text()))


def test_cancelling_the_caller_kills_the_process(with_pool, tmp_path):
    note = tmp_path / "pid"

    async def use(isolation, call):
        running = asyncio.create_task(call(tools.spin, note=str(note)))
        while not (note.exists() and note.read_text()):
            await asyncio.sleep(0.005)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        return is_running(int(note.read_text()))

    assert with_pool(use) is False


def test_closing_ends_a_call_in_progress(context, tmp_path):
    note = tmp_path / "pid"

    async def close_while_running():
        isolation = Isolation(size=1)
        running = asyncio.create_task(isolation.call(tools.spin, context, {"note": str(note)}, LONG))
        while not (note.exists() and note.read_text()):
            await asyncio.sleep(0.005)
        await isolation.close()
        with pytest.raises(PipelineError, match="tool_crashed"):
            await running

    asyncio.run(close_while_running())

    assert not is_running(int(note.read_text()))


@pytest.mark.parametrize("detached", [False, True])
def test_the_children_of_a_tool_die_with_it_at_the_time_out(isolated, tmp_path, detached):
    note = tmp_path / "pid"

    error = failure(isolated, tools.leave_children, SHORT, note=str(note), detached=detached, wait=True)

    assert error.code == "timeout"
    child = int(note.read_text())
    wait_until(lambda: not is_running(child))


def is_free(lock: Path) -> bool:
    """True once no process holds the lock any more that a tool's children were given."""
    with lock.open() as file, suppress(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


@pytest.mark.parametrize("links", [0, 1_000_000])
@pytest.mark.parametrize(("end", "code"), [("stay", "timeout"), ("crash", "tool_crashed")])
def test_what_has_left_the_session_of_a_tool_ends_with_it(isolated, tmp_path, links, end, code):
    """Also a chain of processes that each start the next and end, of which no list is ever up to date."""
    lock = tmp_path / "lock"

    error = failure(isolated, tools.detach, timedelta(seconds=2), lock=str(lock), links=links, end=end)

    assert error.code == code
    wait_until(lambda: is_free(lock), seconds=2)


@pytest.mark.parametrize("detached", [False, True])
def test_a_child_left_behind_by_a_finished_call_is_killed_with_its_process(with_pool, tmp_path, detached):
    async def use(isolation, call):
        before = (await call(tools.echo))["pid"]
        child = int(await call(tools.leave_children, note=str(tmp_path / "pid"), detached=detached, wait=False))
        return before, child, (await call(tools.echo))["pid"]

    before, child, after = with_pool(use)

    assert before != after
    wait_until(lambda: not is_running(child))


def test_a_process_with_a_thread_left_behind_serves_nobody_else(with_pool):
    async def use(isolation, call):
        return await call(tools.leave_a_thread), (await call(tools.echo))["pid"]

    before, after = with_pool(use)

    assert before != after
    assert not is_running(before)


@pytest.mark.parametrize(
    ("spec", "given", "told"),
    [(tools.exit_at_once, {"status": 3}, "exit status 3"), (tools.segfault, {}, "SIGSEGV")],
)
def test_a_tool_that_ends_its_process_fails_and_the_next_call_gets_a_new_one(with_pool, spec, given, told):
    async def use(isolation, call):
        with pytest.raises(PipelineError) as caught:
            await call(spec, **given)
        return caught.value, await call(tools.echo, alive=True)

    error, after = with_pool(use)

    assert (error.code, error.error_class) == ("tool_crashed", ErrorClass.PERMANENT)
    assert told in error.detail
    assert after["alive"] is True


def test_what_a_crashed_tool_was_doing_is_in_the_log(isolated, caplog):
    failure(isolated, tools.segfault)

    assert "Segmentation fault" in caplog.text
    assert "sample_tools.py" in caplog.text


def test_a_pool_that_is_closed_while_a_process_starts_keeps_none(context):
    async def close_early():
        isolation = Isolation(size=1)
        calling = asyncio.create_task(isolation.call(tools.echo, context, {}, LONG))
        await asyncio.sleep(0)
        await isolation.close()
        with pytest.raises(RuntimeError, match="closed"):
            await calling
        with pytest.raises(RuntimeError, match="closed"):
            await isolation.call(tools.echo, context, {}, LONG)
        return isolation._all

    assert asyncio.run(close_early()) == set()


def test_a_process_that_dies_between_calls_is_replaced_unseen(with_pool):
    async def use(isolation, call):
        pid = (await call(tools.echo))["pid"]
        os.kill(pid, signal.SIGKILL)
        while is_running(pid):
            await asyncio.sleep(0.005)
        await asyncio.sleep(0)
        return pid, (await call(tools.echo))["pid"]

    before, after = with_pool(use)

    assert before != after


def test_what_a_tool_prints_reads_and_exits_harms_nothing(with_pool):
    async def use(isolation, call):
        quiet = await call(tools.chatter, size=1_000_000)
        empty = await call(tools.read_input)
        with pytest.raises(PipelineError) as caught:
            await call(tools.say_exit)
        return quiet, empty, caught.value

    quiet, empty, error = with_pool(use)

    assert (quiet, empty) == ("quiet", "")
    assert (error.code, error.error_class) == ("tool_error", ErrorClass.INTERNAL)


def test_a_process_is_bounded_by_default_and_the_first_to_go_when_memory_runs_out(with_pool):
    async def use(isolation, call):
        pid = (await call(tools.echo))["pid"]
        process = Path(f"/proc/{pid}")
        return (process / "oom_score_adj").read_text(), (process / "limits").read_text()

    score, limits = with_pool(use)

    assert int(score) == 1000
    assert re.search(r"^Max address space +4294967296 +4294967296 ", limits, re.MULTILINE)


def test_memory_past_the_limit_fails_the_step_by_name(with_pool):
    async def use(isolation, call):
        with pytest.raises(PipelineError) as caught:
            await call(tools.allocate, size=2 << 30)
        return caught.value, await call(tools.allocate, size=1000)

    error, after = with_pool(use, memory=1 << 30)

    assert (error.code, error.error_class) == ("out_of_memory", ErrorClass.LIMIT)
    assert after == 1000


def test_the_error_of_a_tool_crosses_whole(isolated):
    error = failure(isolated, tools.raise_error, kind="pipeline")

    assert (error.code, error.error_class, error.detail) == ("busy", ErrorClass.TRANSIENT, "come back")
    assert (error.retry_after, error.cause) == (3, {"queue": 7})


def test_an_unknown_exception_is_told_without_traceback_and_logged_with_it(isolated, caplog):
    error = failure(isolated, tools.raise_error, kind="other")

    assert (error.code, error.error_class) == ("tool_error", ErrorClass.INTERNAL)
    assert error.detail == r"test.raise_error raised RuntimeError: first\nsecond \x1b[31m"
    assert "sample_tools.py" in caplog.text


@pytest.mark.parametrize("kind", ["nan", "set", "surrogate", "key", "circle", "deep", "bytes"])
def test_a_result_that_is_no_json_is_refused_clearly(isolated, kind):
    error = failure(isolated, tools.return_odd, kind=kind)

    assert (error.code, error.error_class) == ("bad_result", ErrorClass.VALIDATION)


def test_a_result_past_the_limit_is_refused_and_one_below_it_arrives(with_pool):
    async def use(isolation, call):
        with pytest.raises(PipelineError) as caught:
            await call(tools.return_much, size=18 << 20)
        return caught.value, len(await call(tools.return_much, size=16 << 20))

    error, size = with_pool(use)

    assert (error.code, error.error_class) == ("result_too_large", ErrorClass.LIMIT)
    assert size == 16 << 20


@pytest.mark.parametrize("kind", ["text", "list", "key", "dataclass"])
def test_a_result_that_could_not_even_be_encoded_in_the_memory_of_a_tool_is_called_too_large(with_pool, kind):
    async def use(isolation, call):
        with pytest.raises(PipelineError) as caught:
            await call(tools.return_much, size=400 << 20, kind=kind)
        return caught.value

    error = with_pool(use, memory=1 << 30)

    assert (error.code, error.error_class) == ("result_too_large", ErrorClass.LIMIT)
    assert "larger than 16 MB" in error.detail


def test_a_tool_sees_no_environment_of_the_worker_but_what_is_named(isolated, settings, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgresql://secret")
    monkeypatch.setenv("WEATHER_KEY", "shown")
    settings.ORDINAUT_TOOL_ENVIRONMENT = ["WEATHER_KEY"]

    seen = isolated(tools.environment)

    assert seen["WEATHER_KEY"] == "shown"
    assert not any(name.startswith(("DATABASE", "ORDINAUT", "REDIS", "DJANGO")) for name in seen)


def test_nothing_survives_the_death_of_the_worker(tmp_path):
    """The worker here is a process of its own that is killed while its tool spins."""
    note = tmp_path / "pid"
    worker = worker_with_a_call(tools.spin, note=str(note))
    wait_until(lambda: note.exists() and note.read_text() != "")

    worker.kill()
    worker.wait()

    wait_until(lambda: not is_running(int(note.read_text())))


def test_what_has_left_the_session_of_a_tool_ends_with_its_worker(tmp_path):
    lock = tmp_path / "lock"
    worker = worker_with_a_call(tools.detach, lock=str(lock), links=0, end="stay")
    wait_until(Path(f"{lock}.begun").exists)

    worker.kill()
    worker.wait()

    wait_until(lambda: is_free(lock), seconds=2)


def test_a_tool_that_stops_its_watcher_is_killed_at_the_time_out(isolated, tmp_path):
    note = tmp_path / "pid"

    error = failure(isolated, tools.stop_the_parent, SHORT, note=str(note))

    assert error.code == "timeout"
    wait_until(lambda: not is_running(int(note.read_text())), seconds=2)


def worker_with_a_call(spec: ToolSpec, **given: Any) -> subprocess.Popen[bytes]:
    name = spec.name.removeprefix("test.")
    return subprocess.Popen([sys.executable, "-c", _WORKER, name, json.dumps(given)], cwd=Path(__file__).parents[3])


_WORKER = """
import asyncio, json, sys
from datetime import UTC, datetime, timedelta
from django.conf import settings
settings.configure()
from pipelines.tools.base import ToolContext
from pipelines.tools import frames
from pipelines.tools.isolation import Isolation
from tests.integration.tools import sample_tools

context = ToolContext(run_id="r", task_id="t", step_path="s", attempt=1, idempotency_key="k",
                      now=datetime.now(UTC), time_left=timedelta(minutes=1))
spec, given = getattr(sample_tools, sys.argv[1]), json.loads(sys.argv[2])
asyncio.run(Isolation(size=1).call(spec, context, given, timedelta(minutes=1)))
"""


@pytest.mark.parametrize("how", ["return", "raise"])
def test_a_child_that_falls_out_of_a_tool_answers_for_nobody(with_pool, how):
    async def use(isolation, call):
        first = await call(tools.fork_and_fall_through, how=how)
        second = await call(tools.echo, text="mine")
        return first, second["text"]

    assert with_pool(use) == ("the parent", "mine")


def test_an_answer_to_another_call_ends_the_runner(with_pool, monkeypatch):
    real = frames.read

    async def late_answer(reader):
        return {**await real(reader), "call": "another"}

    async def use(isolation, call):
        await call(tools.echo)
        monkeypatch.setattr(frames, "read", late_answer)
        with pytest.raises(PipelineError) as caught:
            await call(tools.echo)
        monkeypatch.setattr(frames, "read", real)
        return caught.value, await call(tools.echo)

    error, after = with_pool(use)

    assert (error.code, "answered another call" in error.detail) == ("tool_crashed", True)
    assert after["pid"] > 0


def test_a_crash_is_seen_at_once_and_ends_what_is_in_the_group_of_the_tool(isolated, tmp_path):
    note = tmp_path / "child"
    began = time.monotonic()

    error = failure(isolated, tools.fork_and_crash, note=str(note))

    assert error.code == "tool_crashed"
    assert "exit status 3" in error.detail
    assert time.monotonic() - began < 15
    child = int(note.read_text())
    wait_until(lambda: not is_running(child))


def test_what_tools_usually_do_costs_no_process(with_pool):
    async def use(isolation, call):
        return [await call(tools.use_much_that_is_put_back) for _ in range(3)]

    assert len(set(with_pool(use))) == 1


def test_what_the_module_of_a_tool_sets_up_at_its_import_costs_no_process(with_pool):
    async def use(isolation, call):
        return [await call(module_with_settings.pid) for _ in range(3)]

    assert len(set(with_pool(use))) == 1


def test_a_tool_that_leaves_no_room_on_the_stack_has_failed_and_its_process_serves_nobody_else(with_pool):
    async def use(isolation, call):
        before = (await call(tools.echo))["pid"]
        with pytest.raises(PipelineError) as caught:
            await call(tools.leave_no_room_to_return)
        return caught.value, before, (await call(tools.echo))["pid"]

    error, before, after = with_pool(use)

    assert (error.code, "RecursionError" in error.detail) == ("tool_error", True)
    assert before != after


def test_the_log_says_why_a_process_is_not_used_again(isolated, caplog):
    caplog.set_level("INFO")

    isolated(tools.move, what="umask")

    assert "the process of tool test.move is not used again, for it has left another umask" in caplog.text


@pytest.mark.parametrize("what", [*tools.SURROUNDINGS, *tools.CHANGES])
def test_a_run_finds_nothing_of_the_surroundings_that_another_has_changed(with_pool, what):
    if what in ("user", "group") and os.getuid() != 0:
        pytest.skip("only root may become somebody else")
    if what == "affinity" and len(os.sched_getaffinity(0)) == 1:
        pytest.skip("there is no other set of CPUs")

    async def use(isolation, call):
        moved = await call(tools.move, what=what)
        after = await call(tools.echo)
        return moved, after["pid"], await call(tools.environment)

    moved, after, environment = with_pool(use)

    assert moved != after
    assert "LEFT_BEHIND" not in environment
