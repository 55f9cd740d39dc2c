"""Typed readers of environment variables: the only module that touches `os.environ`.

Reading never fails for a missing variable that has a default. A value of the wrong form raises `EnvError`, whose
text names the variable, what was expected and what was found (never the value of a variable that holds a secret).
"""

import os
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

# A server that is cut off without a word is noticed within seconds; the url's own options win.
_PATIENCE = {
    "connect_timeout": "5",  # seconds
    "tcp_user_timeout": "15000",  # milliseconds without an acknowledgement
    "keepalives_idle": "15",  # seconds
    "keepalives_interval": "5",
    "keepalives_count": "3",
}
_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off", ""}


class EnvError(ValueError):
    """An environment variable has a value of the wrong form."""


def text(name: str, default: str = "") -> str:
    """The variable as it stands, stripped; `default` where it is unset."""
    return os.environ.get(name, default).strip()


def boolean(name: str, default: bool = False) -> bool:
    """True for 1, true, yes, on; False for 0, false, no, off and the empty text, in any case."""
    raw = os.environ.get(name)
    if raw is None:
        return default
    word = raw.strip().lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise EnvError(f"{name} must be true or false, not {raw!r}")


def integer(name: str, default: int, *, minimum: int | None = None) -> int:
    """A whole number, at least `minimum` where one is given."""
    raw = text(name)
    if not raw:
        return default
    try:
        number = int(raw)
    except ValueError:
        raise EnvError(f"{name} must be a whole number, not {raw!r}") from None
    if minimum is not None and number < minimum:
        raise EnvError(f"{name} must be at least {minimum}, not {number}")
    return number


def seconds(name: str, default: float) -> timedelta:
    """A duration written as a number of seconds, not negative."""
    raw = text(name)
    try:
        number = float(raw) if raw else default
    except ValueError:
        raise EnvError(f"{name} must be a number of seconds, not {raw!r}") from None
    if not 0 <= number < 1e9:
        raise EnvError(f"{name} must be between 0 and 1e9 seconds, not {number}")
    return timedelta(seconds=number)


def days(name: str, default: float) -> timedelta:
    """A duration written as a number of days, not negative."""
    raw = text(name)
    try:
        number = float(raw) if raw else default
    except ValueError:
        raise EnvError(f"{name} must be a number of days, not {raw!r}") from None
    if not 0 <= number < 36_500:
        raise EnvError(f"{name} must be between 0 and 36500 days, not {number}")
    return timedelta(days=number)


def words(name: str, default: str = "") -> list[str]:
    """The comma-separated parts of the variable, stripped, empty ones left out."""
    return [part.strip() for part in text(name, default).split(",") if part.strip()]


def load_file(path: Path) -> None:
    """Take `NAME=value` lines of `path` into the environment where the name is not set yet.

    A missing file changes nothing. Written for `.ordinaut/env`, which `manage.py up` leaves for a second terminal.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return
    for line in lines:
        name, separator, value = line.partition("=")
        if separator and not line.lstrip().startswith("#"):
            os.environ.setdefault(name.strip(), value.strip())


def database(name: str, url: str) -> dict[str, object]:
    """Turn `postgresql://user:password@host:port/name?option=value` into Django's settings of one database.

    The host may be a percent-encoded socket folder. An empty url gives Django's dummy engine: commands without a
    database work, and the first query says that no database is configured.
    """
    if not url:
        return {"ENGINE": "django.db.backends.dummy"}
    parts = urlsplit(url)
    if parts.scheme not in {"postgresql", "postgres"}:
        raise EnvError(f"{name} must begin with postgresql://")
    host = unquote(parts.netloc.rpartition("@")[2])
    port = ""
    if not host.startswith("/"):
        host, port = parts.hostname or "", str(parts.port or "")
    options: Mapping[str, str] = {**_PATIENCE, **dict(parse_qsl(parts.query))}
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.lstrip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": host,
        "PORT": port,
        "OPTIONS": dict(options),
    }
