"""The whole of `manage.py up`: servers, migrations, log-in, examples, processes, and the first run.

The order of the start is the reverse of the order in which things stop: web, clock, workers, weather, Valkey,
PostgreSQL. A second start finds a note of what was seeded and goes straight to the processes.
"""

import contextlib
import os
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from django.conf import settings

from ordinaut_project.embedded import addresses, ports, programs, weather
from ordinaut_project.embedded.binaries import EmbeddedError
from ordinaut_project.embedded.gateway import Gateway
from ordinaut_project.embedded.log_watch import LogWatch
from ordinaut_project.embedded.places import FolderLock
from ordinaut_project.embedded.postgres import Postgres, await_predecessor
from ordinaut_project.embedded.seeding import Seeded, fingerprint, read_seeded
from ordinaut_project.embedded.state import Credentials, State, read_env
from ordinaut_project.embedded.valkey import Valkey
from pipelines.secrets.vault import new_key
from workers.supervisor import Child, ChildSpec, Supervisor, SupervisorError, describe_exit, spawn

_READY_WITHIN = 60.0
_SEEDED_WITHIN = 300.0
_FIRST_RUN_WITHIN = 30.0
_KEYS = "ORDINAUT_ENCRYPTION_KEYS"
_GIVEN = (
    "DATABASE_URL", "DATABASE_DIRECT_URL", "REDIS_URL", "ORDINAUT_HTTP_ALLOW", "ORDINAUT_ALLOWED_HOSTS", _KEYS
)  # fmt: skip
_PREFERRED_WEATHER_PORT = 8099
_SETTLED = {"succeeded", "failed", "canceled", "skipped"}


class _StopAskedError(Exception):
    """A signal came while the stack was starting."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpOptions:
    """The options of `manage.py up`. `workers` counts worker processes."""

    host: str = "127.0.0.1"
    port: int = 8080
    data_dir: Path
    workers: int = 1
    reset: bool = False
    examples: bool = True


class Stack:
    """One `up`: `run()` returns the exit code when it was stopped. Speaks to a person through `say`.

    Raises EmbeddedError, here and in `run()`, for what a person can mend.
    """

    def __init__(self, options: UpOptions, *, say: Callable[[str], None]) -> None:
        self._options = options
        self._say_aloud = say
        self._started_at = time.monotonic()
        self._supervisor = Supervisor(on_exit=self._tell_end, on_pass=self._tell_errors)
        self._logs: dict[str, LogWatch] = {}
        host = addresses.WILDCARDS.get(options.host, options.host)
        self._base_url = f"http://{addresses.in_url(host)}:{options.port}"
        self._state = State(options.data_dir)

    def run(self) -> int:
        """Start everything, wait for a signal, stop everything."""
        lock = FolderLock(self._state.folder)
        self._state.require_claimable()
        lock.require_free()
        ports.require_free(self._options.host, self._options.port)
        self._state.claim()
        lock.acquire()
        try:
            with self._supervisor.signals():
                try:
                    self._start()
                    self._say("\nStop with Ctrl-C.")
                    exit_code = self._supervisor.run()
                except _StopAskedError:
                    exit_code = self._supervisor.exit_code
                finally:
                    self._supervisor.stop()
            self._say("Stopped." if exit_code == 0 else f"Stopped after a failure; see {self._state.logs}.")
            return exit_code
        except SupervisorError as error:
            raise EmbeddedError(str(error)) from error
        finally:
            lock.release()

    # The steps

    def _start(self) -> None:
        options, state = self._options, self._state
        given = dict(_given_variables(state))
        await_predecessor(state.folder / "postgres" / "data")
        if options.reset:
            state.reset()
        state.make_folders()
        env = self._environment(given)
        state.write_env(env)
        weather_port = int(env["ORDINAUT_WEATHER_PORT"])
        if options.examples:
            self._copy_calendar()
            self._launch(programs.weather(state, env, port=weather_port))
        seeded, is_first = self._seed(env, weather_url=f"http://{weather.HOST}:{weather_port}{weather.PATH}")
        credentials = self._credentials()
        self._launch(programs.workers(state, env, processes=options.workers))
        self._launch(programs.clock(state, env))
        self._launch(programs.web(state, env, host=options.host, port=options.port))
        gateway = Gateway(self._base_url, token=credentials.token)
        self._wait_for(gateway.is_ready, what="the web process to be ready", within=_READY_WITHIN, log="web")
        self._tell_addresses(credentials)
        if seeded.briefing_task and is_first:
            self._run_briefing(gateway, seeded.briefing_task)

    def _environment(self, given: dict[str, str]) -> dict[str, str]:
        """The variables of every process, the servers of which are running when this returns."""
        kept = self._state.read_env()
        weather_port = ports.choose(
            weather.HOST, preferred=int(kept.get("ORDINAUT_WEATHER_PORT", _PREFERRED_WEATHER_PORT))
        )
        allowed = [given.get("ORDINAUT_HTTP_ALLOW", ""), f"{weather.HOST}:{weather_port}"]
        env = {
            "DATABASE_URL": given.get("DATABASE_URL") or self._start_postgres(),
            "REDIS_URL": given.get("REDIS_URL") or self._start_valkey(),
            "ORDINAUT_STATE_DIR": str(self._state.folder),
            "ORDINAUT_ENV": "development",
            "ORDINAUT_METRICS_TOKEN": kept.get("ORDINAUT_METRICS_TOKEN") or secrets.token_urlsafe(32),
            "ORDINAUT_SECRET_KEY": kept.get("ORDINAUT_SECRET_KEY") or secrets.token_urlsafe(50),
            _KEYS: given.get(_KEYS) or kept.get(_KEYS) or new_key(),
            "ORDINAUT_MAIL_DIR": str(self._state.mail),
            "ORDINAUT_CALENDAR_DIR": str(self._state.calendar),
            "ORDINAUT_HTTP_ALLOW": ",".join(part for part in allowed if part),
            "ORDINAUT_WEATHER_PORT": str(weather_port),
            "ORDINAUT_ALLOWED_HOSTS": ",".join(self._allowed_hosts(given)),
        }
        env["DATABASE_DIRECT_URL"] = given.get("DATABASE_DIRECT_URL") or env["DATABASE_URL"]
        return env

    def _allowed_hosts(self, given: dict[str, str]) -> list[str]:
        """What the address listened on implies, and what the person set."""
        set_by_person = [name.strip() for name in given.get("ORDINAUT_ALLOWED_HOSTS", "").split(",")]
        names = (*addresses.answered_hosts(self._options.host), *filter(None, set_by_person))
        hosts = list(dict.fromkeys(names))
        if self._options.host in addresses.WILDCARDS:
            self._say(f"Answering to {', '.join(hosts)}.")
        return hosts

    def _start_postgres(self) -> str:
        postgres = Postgres(self._state.folder / "postgres", log=self._state.log("postgres"))
        if not (postgres.data / "PG_VERSION").exists():
            self._say("Making a PostgreSQL cluster ...")
        postgres.prepare(should_stop=lambda: self._supervisor.is_stopping)
        self._stop_if_asked()
        child = self._supervisor.start(postgres.spec())
        postgres.wait_until_ready(child, should_stop=lambda: self._supervisor.is_stopping)
        self._stop_if_asked()
        postgres.ensure_database()
        return postgres.url()

    def _start_valkey(self) -> str:
        valkey = Valkey(self._state.folder / "valkey", log=self._state.log("valkey"))
        valkey.wait_until_ready(self._supervisor.start(valkey.spec()))
        return valkey.url()

    def _seed(self, env: dict[str, str], *, weather_url: str) -> tuple[Seeded, bool]:
        """Migrate and load what is missing; True when this installation had never been seeded."""
        expected = fingerprint(
            settings.BASE_DIR,
            database_url=env["DATABASE_URL"],
            weather_url=weather_url,
            examples=self._options.examples,
        )
        found = read_seeded(self._state)
        if found is not None and found.fingerprint == expected and self._state.read_credentials() is not None:
            return found, False
        self._say("Preparing the database ...")
        child = spawn(
            programs.seed(
                self._state,
                {**env, "ORDINAUT_SEED": expected},
                weather_url=weather_url,
                examples=self._options.examples,
            )
        )
        try:
            self._wait_for(
                lambda: child.exit_code is not None,
                what="the database's preparation",
                within=_SEEDED_WITHIN,
                log="seed",
            )
        finally:
            exit_code = child.stop()
        seeded = read_seeded(self._state)
        if exit_code != 0 or seeded is None:
            raise EmbeddedError(f"preparing the database failed: {_last_line(self._state.log('seed'))}")
        return seeded, found is None

    def _credentials(self) -> Credentials:
        """The kept ones, with the addresses of this start."""
        kept = self._state.read_credentials()
        if kept is None:
            raise EmbeddedError(f"{self._state.credentials_file} is missing: begin anew with --reset")
        credentials = replace(kept, console_url=f"{self._base_url}/admin/", api_url=f"{self._base_url}/api/v1")
        if credentials != kept:
            self._state.write_credentials(credentials)
        return credentials

    def _copy_calendar(self) -> None:
        """The example calendar, once: a person may change the copy."""
        target = self._state.calendar / "day.ics"
        if not target.exists():
            source = Path(__file__).parent / "examples" / "day.ics"
            target.write_bytes(source.read_bytes())

    def _run_briefing(self, gateway: Gateway, task_id: str) -> None:
        """Run the first task for real. A failure is told and does not stop the stack: the console shows why."""
        try:
            run_id = gateway.run_task(task_id)
            ended: dict[str, object] = {}

            def has_ended() -> bool:
                ended.update(gateway.run(run_id))
                return ended["state"] in _SETTLED

            self._wait_for(has_ended, what="the first run", within=_FIRST_RUN_WITHIN, log="workers")
        except EmbeddedError as error:
            self._say(f"  The morning briefing did not run to its end: {error}")
            return
        self._say(f"  The morning briefing ran: {ended['state']}. Its mail lies in {self._state.mail}")

    # Waiting and telling

    def _launch(self, spec: ChildSpec) -> None:
        assert spec.log is not None
        self._logs[spec.name] = LogWatch(spec.log)
        self._supervisor.start(spec)

    def _wait_for(self, condition: Callable[[], bool], *, what: str, within: float, log: str) -> None:
        ends_at = time.monotonic() + within
        while not condition():
            self._stop_if_asked()
            if time.monotonic() > ends_at:
                raise EmbeddedError(f"waited {within:.0f} s for {what}; see {self._state.log(log)}")
            self._supervisor.run_once()
            self._supervisor.wait(0.05)

    def _stop_if_asked(self) -> None:
        if self._supervisor.is_stopping:
            raise _StopAskedError

    def _tell_addresses(self, credentials: Credentials) -> None:
        took = time.monotonic() - self._started_at
        self._say(
            f"""
Ordinaut is up ({took:.1f} s).

  Console   {credentials.console_url}
  Log in    {credentials.username} / {credentials.password}
  API       {credentials.api_url}
  Try       curl -H 'Authorization: Bearer {credentials.token}' {credentials.api_url}/runs
  Mail      {self._state.mail}
  Logs      {self._state.logs}
  The same  {self._state.credentials_file}
"""
        )

    def _tell_end(self, child: Child, exit_code: int) -> None:
        name = child.spec.name
        then = "it is started again" if child.spec.restart else "everything stops"
        self._say(f"{name} ended with {describe_exit(exit_code)}, {then}; see {child.spec.log}")

    def _tell_errors(self) -> None:
        for name, watch in self._logs.items():
            for message in watch.new_errors():
                self._say(f"{name}: {message}")

    def _say(self, text: str) -> None:
        # The terminal may be gone (a closed window, a broken pipe): that must not stop the orderly end.
        with contextlib.suppress(OSError):
            self._say_aloud(text)


def _given_variables(state: State) -> Iterator[tuple[str, str]]:
    """What the person set, as against what the settings took from a file that an `up` left behind."""
    left_behind = [state.read_env(), read_env(settings.STATE_DIR / "env")]
    for name in _GIVEN:
        value = os.environ.get(name, "")
        if value and value not in [file.get(name) for file in left_behind]:
            yield name, value


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() if log.exists() else []
    return lines[-1] if lines else f"see {log}"
