"""System checks: a worker host refuses to start with settings that would make its promises void."""

from collections.abc import Callable
from functools import partial
from typing import Any

from django.core import checks

from workers import conf

_READERS: tuple[Callable[[], Any], ...] = (
    conf.beat_interval,
    conf.abort_after,
    conf.reap_after,
    conf.grace,
    conf.worn_grace,
    conf.quarantine_after,
    conf.compiled_pipelines,
    *(partial(conf.keep, what) for what in conf.DEFAULT_KEEP),
    conf.retention_batch,
    conf.retention_budget,
    conf.worker_max_runs,
    conf.worker_max_memory,
    conf.dead_tuples_warning,
)


def check_settings(**_: Any) -> list[checks.CheckMessage]:
    """E001: a setting of the wrong form. E002: times in the wrong order."""
    wrong: list[checks.CheckMessage] = []
    for reader in _READERS:
        try:
            reader()
        except conf.SettingError as error:
            wrong.append(checks.Error(str(error), id="workers.E001"))
    return wrong or _check_order_of_times()


def _check_order_of_times() -> list[checks.CheckMessage]:
    """A process must have given up before its work is given away, and must have been able to beat before that."""
    if 2 * conf.beat_interval() <= conf.abort_after() < conf.reap_after():
        return []
    return [
        checks.Error(
            "the times of beat, abort and reap are in the wrong order",
            hint="Twice ORDINAUT_BEAT_INTERVAL <= ORDINAUT_ABORT_AFTER < ORDINAUT_REAP_AFTER.",
            id="workers.E002",
        )
    ]
