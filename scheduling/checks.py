"""System checks of this app.

E001 stands with every command that checks anything. The others are for services only, which run them with
`require_service_settings` before they start: commands such as `makemigrations --check` need neither a key nor a
database.
"""

from typing import Any

from django.conf import settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import SystemCheckError
from django.utils.module_loading import import_string

from scheduling import conf
from scheduling.ports import METHODS

SERVICE = "service"
# The checks of Ordinaut's own apps: all that clocks and worker hosts run, which serve no page. Django's others load
# the console and its addresses, a third of the time that such a command takes to start.
OURS = "ordinaut"
_SHORTEST_KEY = 50


def check_pipeline_port(**_: Any) -> list[checks.CheckMessage]:
    """ORDINAUT_PIPELINE_PORT names a class that answers what scheduling asks."""
    path = conf.pipeline_port_path()
    try:
        port = import_string(path)
    except ImportError as error:
        hint = "Name a class, such as pipelines.port.PipelinePort."
        return [checks.Error(f"ORDINAUT_PIPELINE_PORT: {error}", hint=hint, id="scheduling.E001")]
    missing = [name for name in METHODS if not callable(getattr(port, name, None))]
    if not missing:
        return []
    return [checks.Error(f"ORDINAUT_PIPELINE_PORT: {path} lacks {', '.join(missing)}.", id="scheduling.E001")]


def check_service_settings(**_: Any) -> list[checks.CheckMessage]:
    """What a service cannot start without: a key of its own, and a database."""
    found: list[checks.CheckMessage] = []
    if len(_secret_key()) < _SHORTEST_KEY:
        hint = f"Set it to {_SHORTEST_KEY} or more random characters, the same for all processes."
        found.append(checks.Error("ORDINAUT_SECRET_KEY is missing or short.", hint=hint, id="scheduling.E002"))
    if settings.DATABASES["default"]["ENGINE"] == "django.db.backends.dummy":
        hint = "Set it to postgresql://user:password@host:port/name, or start everything with `manage.py up`."
        found.append(checks.Error("DATABASE_URL is missing.", hint=hint, id="scheduling.E003"))
    if not conf.redis_url():
        hint = "Events stay in the outbox and rate limits are off until it is set."
        found.append(checks.Warning("REDIS_URL is missing.", hint=hint, id="scheduling.W001"))
    return found


def _secret_key() -> str:
    """The key; empty where none is set, which Django makes an exception of."""
    try:
        return str(settings.SECRET_KEY)
    except ImproperlyConfigured:
        return ""


def require_service_settings() -> None:
    """Raise SystemCheckError, which says all that is missing, unless this process may serve."""
    found = checks.run_checks(tags=[SERVICE], include_deployment_checks=True)
    errors = [message for message in found if message.is_serious()]
    if errors:
        raise SystemCheckError("\n".join(str(message) for message in errors))


def register() -> None:
    """Called once the apps are ready."""
    checks.register(check_pipeline_port, OURS)
    checks.register(check_service_settings, SERVICE, deploy=True)
