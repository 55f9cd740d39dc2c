"""How `manage.py up` runs Ordinaut's own processes."""

import sys
from collections.abc import Mapping

from django.conf import settings

from ordinaut_project.embedded.state import State
from workers.supervisor import ChildSpec

_WEB_CONNECTIONS = "8"
_WEB_SHUTDOWN = 5


def web(state: State, env: Mapping[str, str], *, host: str, port: int) -> ChildSpec:
    """API and console: uvicorn, one process."""
    arguments = (
        *("-m", "uvicorn", "ordinaut_project.asgi:application", "--host", host, "--port", str(port)),
        *("--no-access-log", "--log-level", "warning", "--timeout-graceful-shutdown", str(_WEB_SHUTDOWN)),
    )
    return _program("web", arguments, state, {**env, "ORDINAUT_DATABASE_POOL": _WEB_CONNECTIONS}, grace=10)


def clock(state: State, env: Mapping[str, str]) -> ChildSpec:
    """The process that fires schedules."""
    return _program("clock", ("manage.py", "runscheduler"), state, env, grace=10)


def workers(state: State, env: Mapping[str, str], *, processes: int) -> ChildSpec:
    """The worker host; its grace is longer than the one in which its own children hand back their runs."""
    grace = settings.ORDINAUT_GRACE.total_seconds() + 4
    return _program("workers", ("manage.py", "runworkers", "--processes", str(processes)), state, env, grace=grace)


def weather(state: State, env: Mapping[str, str], *, port: int) -> ChildSpec:
    """The demo's weather service."""
    return _program("weather", ("-m", "ordinaut_project.embedded.weather", str(port)), state, env, grace=2)


def seed(state: State, env: Mapping[str, str], *, weather_url: str, examples: bool) -> ChildSpec:
    """Migrations, operator, agent and example tasks; ends by itself."""
    arguments = ["-m", "ordinaut_project.embedded.seed", str(state.folder), "--weather-url", weather_url]
    if not examples:
        arguments.append("--no-examples")
    return _program("seed", tuple(arguments), state, env, grace=5)


def _program(name: str, arguments: tuple[str, ...], state: State, env: Mapping[str, str], *, grace: float) -> ChildSpec:
    return ChildSpec(
        name=name,
        argv=(sys.executable, *arguments),
        env=env,
        cwd=settings.BASE_DIR,
        log=state.log(name),
        grace=grace,
    )
