"""The settings of this app, typed. The only reader of `ORDINAUT_*` settings in `scheduling`."""

from django.conf import settings


def pipeline_port_path() -> str:
    """The dotted path of the judge of pipelines; see `scheduling.ports`."""
    return str(getattr(settings, "ORDINAUT_PIPELINE_PORT", ""))


def max_event_depth() -> int:
    """How many runs, each started by an event of the one before, may follow one another."""
    return int(getattr(settings, "ORDINAUT_MAX_EVENT_DEPTH", 16))


def redis_url() -> str:
    """Where Redis is; empty where none is configured, and then events stay in the outbox."""
    return str(getattr(settings, "ORDINAUT_REDIS_URL", "") or "")
