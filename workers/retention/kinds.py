"""What retention deletes: the kinds, how long each is kept, and the statement that deletes a batch of it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from uuid import UUID

from workers import conf
from workers.statements import (
    LOCK_IDLE_KEYS,
    OLD_RUNS,
    PRUNE_ARTIFACTS,
    PRUNE_DEDUPE_KEYS,
    PRUNE_EVENTS,
    PRUNE_EXECUTIONS,
    PRUNE_KEYS,
    PRUNE_MISSES,
    PRUNE_REPLIES,
    PRUNE_WORKERS,
    SURPLUS_RUNS,
)

NO_ID = "00000000-0000-0000-0000-000000000000"
ORPHAN_GRACE = timedelta(hours=1)  # an artifact is written before the step that names it
_DAY, _HOUR, _SOON = timedelta(days=1), timedelta(hours=1), timedelta(minutes=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """Rows that are deleted by the same rule.

    `keep` answers for how long, zero for ever; without it the rows themselves say when their time is over. `statement`
    deletes a batch, or, where `finds_runs`, names the runs to delete. `first` is the cursor of a walk's beginning, and
    `lap_every` the time between two beginnings. `is_ordered`: new rows come behind nearly all others, so that but for
    one in a week a lap need not begin before the first row that the last one passed over. `lock` names and locks the
    rows that the statement is to look at once more, as `locked`.
    """

    name: str
    statement: bytes
    keep: Callable[[], timedelta] | None
    first: str
    lap_every: timedelta
    is_ordered: bool = True
    finds_runs: bool = False
    states: tuple[str, ...] = ()
    lock: bytes | None = None

    @property
    def is_kept_for_ever(self) -> bool:
        return self.keep is not None and not self.keep()

    def behind(self, cursor: str) -> str:
        """The next cursor after that one. Of one with two parts (`task/run`), the second moves."""
        if not self.first:
            # No text lies between one and itself with the lowest character behind, in any collation.
            return f"{cursor}\x01"
        head, slash, last = cursor.rpartition("/")
        after = UUID(int=UUID(last).int + 1) if self.first == NO_ID else int(last) + 1
        return f"{head}{slash}{after}"


def _runs(name: str, *states: str) -> Kind:
    return Kind(
        name=name,
        statement=OLD_RUNS,
        keep=partial(conf.keep, name),
        first=NO_ID,
        lap_every=_DAY,
        finds_runs=True,
        states=states,
    )


KINDS = {
    kind.name: kind
    for kind in (
        _runs("succeeded", "succeeded"),
        _runs("failed", "failed"),
        _runs("canceled", "canceled"),
        _runs("skipped", "skipped", "missed"),
        # Of tasks that say `keep_runs` or `keep_for`; the walk is over the tasks and the runs of each.
        Kind(
            name="surplus",
            statement=SURPLUS_RUNS,
            keep=None,
            first=NO_ID,
            lap_every=timedelta(0),
            is_ordered=False,
            finds_runs=True,
        ),
        Kind(
            name="events",
            statement=PRUNE_EVENTS,
            keep=partial(conf.keep, "events"),
            first=NO_ID,
            lap_every=_DAY,
        ),
        Kind(
            name="artifacts",
            statement=PRUNE_ARTIFACTS,
            keep=lambda: ORPHAN_GRACE,
            first="",
            lap_every=_HOUR,
            is_ordered=False,
        ),
        Kind(name="misses", statement=PRUNE_MISSES, keep=partial(conf.keep, "misses"), first="0", lap_every=_DAY),
        Kind(
            name="executions",
            statement=PRUNE_EXECUTIONS,
            keep=partial(conf.keep, "executions"),
            first="0",
            lap_every=_DAY,
        ),
        Kind(
            name="replies",
            statement=PRUNE_REPLIES,
            keep=None,
            first="-infinity/0",
            lap_every=timedelta(0),
            is_ordered=False,
        ),
        Kind(name="dedupe_keys", statement=PRUNE_DEDUPE_KEYS, keep=None, first="0", lap_every=_SOON),
        Kind(
            name="keys",
            statement=PRUNE_KEYS,
            lock=LOCK_IDLE_KEYS,
            keep=None,
            first="",
            lap_every=_DAY,
            is_ordered=False,
        ),
        Kind(
            name="workers",
            statement=PRUNE_WORKERS,
            keep=partial(conf.keep, "workers"),
            first=NO_ID,
            lap_every=timedelta(0),
            is_ordered=False,
        ),
    )
}
