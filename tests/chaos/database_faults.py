"""What befalls the database: it goes away, somebody locks it, or its settings are changed."""

import contextlib
import signal
from collections.abc import Callable, Iterator
from random import Random

import psycopg

from tests.chaos.befalling import POLL, Befalling
from tests.chaos.stack import Stack, signal_to

_LOCKED_ROWS = ("scheduling_duework", "scheduling_task", "scheduling_schedule", "workers_worker")
_LOCKED_TABLES = ("scheduling_duework", "scheduling_run", "workers_steprun", "workers_worker", "scheduling_task")
_TABLES_OF_WORKERS = ("scheduling_duework", "workers_worker")
_TRIES_TO_LOCK = 10


def postgres(how: str) -> Callable[[Stack, Random, float], Befalling]:
    def go_away(stack: Stack, rng: Random, seconds: float) -> Befalling:
        child = stack.postgres_child
        assert child is not None
        if how == "kill":
            child.kill()
        else:
            signal_to(child.pid, signal.SIGQUIT if how == "immediate" else signal.SIGINT)
        try:
            yield seconds
            for _ in range(100):
                if child.exit_code is not None:
                    break
                yield POLL
        finally:
            if child.exit_code is None:
                child.kill()
            stack.start_postgres()

    return go_away


@contextlib.contextmanager
def own_connection(stack: Stack) -> Iterator[psycopg.Connection[tuple[object, ...]] | None]:
    """Past the network; None where there is no database to speak to at this moment."""
    try:
        connection = psycopg.connect(
            stack.url, connect_timeout=2, application_name="chaos", options="-c statement_timeout=0"
        )
    except psycopg.Error:
        yield None
        return
    try:
        yield connection
    finally:
        with contextlib.suppress(psycopg.Error):
            connection.close()


def backends_terminate(stack: Stack, rng: Random, _: float) -> Befalling:
    share = rng.choice((0.2, 0.5, 1.0))
    with own_connection(stack) as connection, contextlib.suppress(psycopg.Error):
        if connection is not None:
            pids = connection.execute(
                "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() "
                "AND application_name NOT LIKE 'chaos%' ORDER BY pid"
            ).fetchall()
            chosen = [pid for (pid,) in pids if rng.random() < share]
            connection.execute("SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) AS pid", [chosen])
    yield 0


def rows_locked(stack: Stack, rng: Random, seconds: float) -> Befalling:
    table, order = rng.choice(_LOCKED_ROWS), rng.choice(("", "DESC"))
    statement = f"SELECT FROM {table} ORDER BY 1 {order} LIMIT {rng.choice((1, 5, 1000))} FOR UPDATE SKIP LOCKED"
    with own_connection(stack) as connection:
        if connection is not None:
            with contextlib.suppress(psycopg.Error):
                key = "run_id" if table == "scheduling_duework" else "boot_id" if "worker" in table else "id"
                connection.execute(statement.replace("ORDER BY 1", f"ORDER BY {key}").encode())
        yield seconds


def table_locked(stack: Stack, rng: Random, seconds: float) -> Befalling:
    mode = rng.choice(("ACCESS EXCLUSIVE", "SHARE ROW EXCLUSIVE"))
    with own_connection(stack) as connection:
        if connection is not None:
            with contextlib.suppress(psycopg.Error):
                connection.execute("SET lock_timeout = '500ms'")
                connection.execute(f"LOCK TABLE {rng.choice(_LOCKED_TABLES)} IN {mode} MODE".encode())
        yield seconds


def table_locked_long(stack: Stack, rng: Random, seconds: float) -> Befalling:
    """A migration, say, of a table that every worker needs, while they work."""
    with own_connection(stack) as connection:
        yield from lock_a_workers_table(connection, rng)
        yield seconds


def lock_a_workers_table(connection: psycopg.Connection[tuple[object, ...]] | None, rng: Random) -> Befalling:
    """Until the end of the connection's transaction. Asked for again where others are in the way, which wait in line
    behind it meanwhile; given up after some seconds."""
    table = rng.choice(_TABLES_OF_WORKERS)
    if connection is None:
        return
    for _ in range(_TRIES_TO_LOCK):
        try:
            connection.execute("SET lock_timeout = '300ms'")
            connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE".encode())
        except psycopg.errors.LockNotAvailable:
            with contextlib.suppress(psycopg.Error):
                connection.rollback()
            yield POLL
        except psycopg.Error:
            return
        else:
            return


def schedule_hangs(stack: Stack, rng: Random, seconds: float) -> Befalling:
    """Whoever starts a scheduled run of one task waits for as long as it lasts, whatever else the statement does."""
    with own_connection(stack) as connection, contextlib.suppress(psycopg.Error):
        if connection is not None:
            connection.execute(
                "INSERT INTO chaos.hanging SELECT task_id, clock_timestamp() + make_interval(secs => %s)"
                " FROM scheduling_schedule WHERE state = 'active' AND next_fire_at IS NOT NULL"
                " ORDER BY id OFFSET %s LIMIT 1",
                [seconds, rng.randrange(10)],
            )
            connection.commit()
    yield seconds


def database_read_only(stack: Stack, _: Random, seconds: float) -> Befalling:
    yield from _with_setting(stack, b"default_transaction_read_only = on", seconds)


def statements_timed_out(stack: Stack, rng: Random, seconds: float) -> Befalling:
    """Statements that take longer are canceled by the server, wherever they are; so are those that wait for a lock."""
    limit = rng.choice((b"3ms", b"10ms", b"40ms"))
    yield from _with_setting(stack, b"statement_timeout = '%s'" % limit, seconds)


def _with_setting(stack: Stack, setting: bytes, seconds: float) -> Befalling:
    _alter_system(stack, b"SET " + setting)
    try:
        yield seconds
    finally:
        reset_settings(stack)


def reset_settings(stack: Stack) -> bool:
    """Undo what a fault has set of the whole server. False where the database did not hear it."""
    return _alter_system(stack, b"RESET default_transaction_read_only") and _alter_system(
        stack, b"RESET statement_timeout"
    )


def _alter_system(stack: Stack, change: bytes) -> bool:
    with own_connection(stack) as connection:
        if connection is None:
            return False
        try:
            connection.autocommit = True
            connection.execute(b"ALTER SYSTEM " + change)
            connection.execute("SELECT pg_reload_conf()")
        except psycopg.Error:
            return False
    return True
