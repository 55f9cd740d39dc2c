"""The journals of runs, read back for a run that goes on."""

from collections.abc import Iterable
from uuid import UUID

from pipelines.engine.ports import StepEntry, StepState
from workers.columns import Uuids
from workers.connection import Database, Row
from workers.encoding import decode
from workers.statements import HISTORY


async def load_histories(
    database: Database, run_ids: Iterable[UUID]
) -> tuple[dict[UUID, list[StepEntry]], dict[UUID, str]]:
    """The entries of each run in the order in which they were written, results decoded, large ones loaded; and the
    runs whose journal is damaged, each with the reason. Runs without entries are in neither.

    Raises DatabaseUnavailable.
    """
    histories: dict[UUID, list[StepEntry]] = {}
    damaged: dict[UUID, str] = {}
    for run_id, *columns in await database.fetch(HISTORY, {"run_ids": Uuids(run_ids)}):
        try:
            histories.setdefault(run_id, []).append(_entry(tuple(columns)))
        except ValueError as error:
            damaged[run_id] = f"the journal of {columns[0]} cannot be read: {error}"
    return histories, damaged


def _entry(row: Row) -> StepEntry:
    (path, attempt, run_attempt, kind, uses, state, given, output, error, simulated, tolerated, started, finished) = row
    return StepEntry(
        path=path,
        kind=kind,
        state=StepState(state),
        attempt=attempt,
        run_attempt=run_attempt,
        uses=uses or None,
        input=decode(given),
        output=decode(output),
        error=decode(error),
        simulated=simulated,
        tolerated=tolerated,
        started_at=started,
        finished_at=finished,
    )
