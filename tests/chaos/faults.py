"""How each kind of fault is done and undone.

A fault is a generator: it does something, yields how many seconds the world stays so, and undoes it in its `finally`,
which also runs when the round is healed early. Everything runs in the main thread and takes only a moment.
"""

import contextlib
import signal
from collections.abc import Callable
from random import Random

from tests.chaos import database_faults
from tests.chaos.befalling import POLL, Befalling
from tests.chaos.plan import Fault
from tests.chaos.stack import FAKETIME, Process, Stack, signal_to
from tests.process_trees import is_stopped
from workers.points import BEFORE_ANY_STATEMENT, POINTS_OF_HOST, POINTS_OF_PROCESS, POINTS_OF_SHARED_CLAIM

_CLOCK_POINTS = (
    "before-read", "after-read", "after-plan", "after-lock", "after-admit", "after-misses", "before-commit",
    "after-commit", "before-sleep", "end-taken", "end-acted-on", "ahead-planned", "ahead-due", "after-lock-alone",
    "before-commit-alone",
)  # fmt: skip
# How often a host stands still before some statement, whichever, and how far from its start.
_AT_ANY_STATEMENT = 0.4
_STATEMENTS = 300
# Where only the fence stands between a late process and the run of another: met as often as all others together.
_BEFORE_A_WRITE = ("before-journal",) * 8 + ("before-call", "after-call") * 2


def befall(stack: Stack, fault: Fault) -> Befalling:
    """The fault, ready to run."""
    return _FAULTS[fault.kind](stack, Random(fault.seed), fault.seconds)


def _one_of(processes: list[Process], rng: Random) -> Process | None:
    running = [process for process in processes if process.is_running and not process.is_ended_by_us]
    return rng.choice(running) if running else None


# Workers


def _worker_kill(stack: Stack, rng: Random, _: float) -> Befalling:
    host = _one_of(stack.hosts, rng)
    workers = host.family()[1:] if host is not None else []
    if workers:
        signal_to(rng.choice(workers), signal.SIGKILL)
    yield 0


def _worker_freeze(stack: Stack, rng: Random, seconds: float) -> Befalling:
    host = _one_of(stack.hosts, rng)
    workers = host.family()[1:] if host is not None else []
    frozen = stack.freeze([rng.choice(workers)] if workers else [])
    try:
        yield seconds
    finally:
        stack.thaw(frozen)


def _host_freeze(stack: Stack, rng: Random, seconds: float) -> Befalling:
    """As a virtual machine that is paused."""
    host = _one_of(stack.hosts, rng)
    frozen = stack.freeze(host.family() if host is not None else [])
    try:
        yield seconds
    finally:
        stack.thaw(frozen)


def _host_kill(stack: Stack, rng: Random, seconds: float) -> Befalling:
    host = _one_of(stack.hosts, rng)
    try:
        if host is not None:
            stack.send(host, signal.SIGKILL)
        yield seconds
    finally:
        fill_up(stack)


def _host_drain(stack: Stack, rng: Random, _: float) -> Befalling:
    yield from _end_of_host(stack, rng, hurried=False)


def _host_hurry(stack: Stack, rng: Random, _: float) -> Befalling:
    yield from _end_of_host(stack, rng, hurried=True)


def _host_drain_locked(stack: Stack, rng: Random, seconds: float) -> Befalling:
    """With a table locked that it needs for its end."""
    host = _one_of(stack.hosts, rng)
    if host is None:
        return
    with database_faults.own_connection(stack) as connection:
        yield from database_faults.lock_a_workers_table(connection, rng)
        if not host.is_running:
            return
        stack.send(host, signal.SIGTERM)
        yield seconds
    yield from _replace(stack, host)


def _end_of_host(stack: Stack, rng: Random, *, hurried: bool) -> Befalling:
    host = _one_of(stack.hosts, rng)
    if host is None:
        return
    stack.send(host, signal.SIGTERM)
    if hurried:
        yield rng.uniform(0.05, 0.8)
        if host.is_running:
            host.popen.send_signal(signal.SIGTERM)
    yield 0.2
    yield from _replace(stack, host)


def _replace(stack: Stack, ending: Process) -> Befalling:
    """A deploy: the new host starts beside the one that ends, which has to end in time."""
    try:
        stack.start_host()
        for _ in range(120):
            if not ending.is_running:
                break
            yield POLL
        else:
            stack.surprises.append(f"{ending.name} did not end within 12 s of a SIGTERM")
            ending.popen.kill()
    finally:
        fill_up(stack)


def _host_point(stack: Stack, rng: Random, seconds: float) -> Befalling:
    """A host that stands still, whole, between two statements; or one of whose processes is killed there."""
    deed = "stop" if rng.random() < 0.7 else "kill"
    points = POINTS_OF_PROCESS + POINTS_OF_HOST + _BEFORE_A_WRITE
    point = rng.choice(points + POINTS_OF_SHARED_CLAIM * 2 if stack.has_operated_queues else points)
    times = rng.choice((1, 1, 3, 8))
    if rng.random() < _AT_ANY_STATEMENT:
        point, times = BEFORE_ANY_STATEMENT, rng.randint(1, _STATEMENTS)
    victim = _one_of(stack.hosts, rng)
    if victim is not None:
        stack.send(victim, signal.SIGKILL)
    host = stack.start_host(f"{deed}:{point}:{times}")
    host.is_ended_by_us = True  # at such a point the host itself may die
    try:
        for _ in range(150):
            stopped = [pid for pid in host.family() if is_stopped(pid)]
            if stopped or not host.is_running:
                break
            yield POLL
        if deed == "stop" and host.is_running:
            frozen = stack.freeze(host.family())
            try:
                yield seconds
            finally:
                stack.thaw(frozen)
            yield 1.0  # for so long it may do harm
    finally:
        stack.send(host, signal.SIGCONT)
        stack.send(host, signal.SIGKILL)
        fill_up(stack)


def fill_up(stack: Stack) -> None:
    """As many hosts and clocks as there are to be."""
    while len([host for host in stack.hosts if host.is_running and not host.is_ended_by_us]) < stack.hosts_wanted:
        stack.start_host()
    while len([clock for clock in stack.clocks if clock.is_running and not clock.is_ended_by_us]) < 2:
        stack.start_clock()


# Clocks


def _clock_kill(stack: Stack, rng: Random, seconds: float) -> Befalling:
    clock = _one_of(stack.clocks, rng)
    try:
        if clock is not None:
            stack.send(clock, signal.SIGKILL)
        yield seconds
    finally:
        fill_up(stack)


def _clock_freeze(stack: Stack, rng: Random, seconds: float) -> Befalling:
    clock = _one_of(stack.clocks, rng)
    frozen = stack.freeze([clock.pid] if clock is not None else [])
    try:
        yield seconds
    finally:
        stack.thaw(frozen)


def _clock_point(stack: Stack, rng: Random, seconds: float) -> Befalling:
    victim = _one_of(stack.clocks, rng)
    if victim is not None:
        stack.send(victim, signal.SIGKILL)
    clock = stack.start_clock(f"{rng.choice(('stop', 'kill'))}:{rng.choice(_CLOCK_POINTS)}")
    clock.is_ended_by_us = True
    try:
        for _ in range(100):
            if is_stopped(clock.pid) or not clock.is_running:
                break
            yield POLL
        yield seconds
        stack.send(clock, signal.SIGCONT)
        yield 1.0
    finally:
        stack.send(clock, signal.SIGKILL)
        fill_up(stack)


def _clock_jump(stack: Stack, rng: Random, seconds: float) -> Befalling:
    """A clock whose host's wall clock is set, while it runs, by hours or by a year."""
    offset = stack.folder / f"offset-{stack.started}"
    offset.write_text("+0")
    clock = stack.start_clock(
        LD_PRELOAD=str(FAKETIME[0]),
        FAKETIME_TIMESTAMP_FILE=str(offset),
        FAKETIME_NO_CACHE="1",
        FAKETIME_DONT_FAKE_MONOTONIC="1",
        DONT_FAKE_MONOTONIC="1",
    )
    try:
        yield 2.5
        offset.write_text(rng.choice(("+3600", "-3600", "+31536000", "-86400")))
        yield seconds
    finally:
        stack.send(clock, signal.SIGTERM)


# The network


def _network_reset(stack: Stack, rng: Random, _: float) -> Befalling:
    for proxy in stack.proxies:
        proxy.reset(rng.choice((0.3, 1.0)), rng)
    yield 0


def _network_silent(*, up: bool) -> Callable[[Stack, Random, float], Befalling]:
    def fall_silent(stack: Stack, rng: Random, seconds: float) -> Befalling:
        for proxy in stack.proxies:
            proxy.silence(rng.choice((0.3, 0.6, 1.0)), rng, up=up, down=True)
        try:
            yield seconds
        finally:
            for proxy in stack.proxies:
                proxy.heal()

    return fall_silent


def _network_slow(stack: Stack, rng: Random, seconds: float) -> Befalling:
    delay, share = rng.choice(((0.02, 1.0), (0.2, 1.0), (1.0, 0.5), (4.0, 0.5), (4.0, 1.0)))
    for proxy in stack.proxies:
        proxy.slow(delay, share, rng)
    try:
        yield seconds
    finally:
        for proxy in stack.proxies:
            proxy.heal()


def _pooler_kill(stack: Stack, _: Random, seconds: float) -> Befalling:
    if stack.pooler_child is not None:
        stack.pooler_child.kill()
    try:
        yield seconds
    finally:
        stack.start_pooler()


def _pooler_pause(stack: Stack, _: Random, seconds: float) -> Befalling:
    """SIGUSR1 and SIGUSR2 are its PAUSE and RESUME."""
    child = stack.pooler_child
    if child is not None:
        signal_to(child.pid, signal.SIGUSR1)
    try:
        yield seconds
    finally:
        if child is not None and child.exit_code is None:
            signal_to(child.pid, signal.SIGUSR2)


# Redis


def _redis_kill(stack: Stack, _: Random, seconds: float) -> Befalling:
    """It comes back empty."""
    if stack.valkey_child is not None:
        stack.valkey_child.kill()
    try:
        yield seconds
    finally:
        stack.start_valkey()


def _redis_empty(stack: Stack, _: Random, __: float) -> Befalling:
    import redis

    if stack.valkey is not None:
        with (
            contextlib.suppress(redis.RedisError),
            contextlib.closing(redis.Redis.from_url(stack.valkey.url(), socket_timeout=1)) as client,
        ):
            client.flushall()
    yield 0


_FAULTS: dict[str, Callable[[Stack, Random, float], Befalling]] = {
    "worker.kill": _worker_kill,
    "worker.freeze": _worker_freeze,
    "host.freeze": _host_freeze,
    "host.kill": _host_kill,
    "host.drain": _host_drain,
    "host.hurry": _host_hurry,
    "host.point": _host_point,
    "host.drain_locked": _host_drain_locked,
    "clock.kill": _clock_kill,
    "clock.freeze": _clock_freeze,
    "clock.point": _clock_point,
    "clock.jump": _clock_jump,
    "postgres.kill": database_faults.postgres("kill"),
    "postgres.immediate": database_faults.postgres("immediate"),
    "postgres.fast": database_faults.postgres("fast"),
    "backends.terminate": database_faults.backends_terminate,
    "rows.locked": database_faults.rows_locked,
    "table.locked": database_faults.table_locked,
    "table.locked_long": database_faults.table_locked_long,
    "database.read_only": database_faults.database_read_only,
    "statements.timed_out": database_faults.statements_timed_out,
    "schedule.hangs": database_faults.schedule_hangs,
    "network.reset": _network_reset,
    "network.half_open": _network_silent(up=True),
    "network.one_way": _network_silent(up=False),
    "network.slow": _network_slow,
    "pooler.kill": _pooler_kill,
    "pooler.pause": _pooler_pause,
    "redis.kill": _redis_kill,
    "redis.empty": _redis_empty,
}


def missing(stack: Stack) -> dict[str, str]:
    """The kinds that this machine, or this round, cannot do, with the reason."""
    left_out: dict[str, str] = {}
    if not stack.has_pooler:
        left_out |= dict.fromkeys(("pooler.kill", "pooler.pause"), "no PgBouncer in this round")
    if not FAKETIME:
        left_out["clock.jump"] = "libfaketime is not installed"
    if stack.valkey is None:
        left_out |= dict.fromkeys(("redis.kill", "redis.empty"), "Valkey is not installed")
    return left_out
