"""What a batch of the journal holds, and the columns of its statement that it becomes."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain
from typing import Any, NamedTuple
from uuid import UUID

from workers.columns import Bigints, Blobs, Booleans, Column, Floats, Instants, Smallints, Texts, Uuids
from workers.encoding import Artifact, encode
from workers.settlement import Settlement


class StepRow(NamedTuple):
    """A journal entry in the order of the statement's columns."""

    run_id: UUID
    path: str
    attempt: int
    run_attempt: int
    kind: str
    uses: str
    state: str
    input: bytes | None
    output: bytes | None
    output_artifact: str
    error: bytes | None
    is_simulated: bool
    is_tolerated: bool
    started_at: datetime | None
    finished_at: datetime | None


_STEP_COLUMNS: tuple[tuple[str, type[Column]], ...] = (
    ("step_runs", Uuids),
    ("step_paths", Texts),
    ("step_attempts", Smallints),
    ("step_run_attempts", Smallints),
    ("step_kinds", Texts),
    ("step_uses", Texts),
    ("step_states", Texts),
    ("step_inputs", Blobs),
    ("step_outputs", Blobs),
    ("step_artifacts", Texts),
    ("step_errors", Blobs),
    ("step_simulated", Booleans),
    ("step_tolerated", Booleans),
    ("step_started", Instants),
    ("step_finished", Instants),
)


class QuestionRow(NamedTuple):
    """A question in the order of the statement's columns."""

    id: UUID
    run_id: UUID
    path: str
    attempt: int
    kind: str
    until: datetime | None
    asks: bytes
    topic: str


_QUESTION_COLUMNS: tuple[tuple[str, type[Column]], ...] = (
    ("question_ids", Uuids),
    ("question_runs", Uuids),
    ("question_paths", Texts),
    ("question_attempts", Smallints),
    ("question_kinds", Texts),
    ("question_untils", Instants),
    ("question_asks", Blobs),
    ("question_topics", Texts),
)

_RUN_COLUMNS: tuple[tuple[str, type[Column]], ...] = (
    ("run_ids", Uuids),
    ("epochs", Bigints),
    ("actions", Texts),
    ("states", Texts),
    ("causes", Texts),
    ("attempts", Smallints),
    ("outputs", Blobs),
    ("errors", Blobs),
    ("untils", Instants),
    ("delays", Floats),
    ("handbacks", Smallints),
    ("wait_paths", Texts),
    ("wakes", Booleans),
)


SettlementRow = tuple[Any, ...]  # from `actions` to `wait_paths`


@dataclass(slots=True)
class Entry:
    """What one run adds to a batch. `wakes`: the run goes on, so what it waited for is forgotten; it may have questions
    out."""

    run_id: UUID
    epoch: int
    steps: list[StepRow] = field(default_factory=list)
    questions: tuple[QuestionRow, ...] = ()
    artifacts: list[Artifact] = field(default_factory=list)
    settlement: SettlementRow | None = None
    wakes: bool = False
    size: int = 0
    acknowledge: Callable[[Exception | None], None] | None = None  # with the error that kept it from being committed

    def row(self) -> tuple[Any, ...]:
        """In the order of `_RUN_COLUMNS`."""
        settled = self.settlement or ("keep", None, None, None, None, None, None, None, 0, None)
        return (self.run_id, self.epoch, *settled, self.wakes)


def settlement_row(settlement: Settlement) -> SettlementRow:
    """Raises Unstorable."""
    return (
        "end" if settlement.is_final else "requeue",
        str(settlement.state),
        str(settlement.cause or ""),
        settlement.attempt,
        None if settlement.output is None else encode(settlement.output),
        None if settlement.error is None else encode(settlement.error),
        settlement.until,
        settlement.delay.total_seconds(),
        settlement.handbacks,
        settlement.wait_path,
    )


def question_columns_of(batch: Sequence[Entry]) -> dict[str, Column]:
    """What JOURNAL_WITH_QUESTIONS has beyond JOURNAL."""
    return dict(_columns(_QUESTION_COLUMNS, [question for entry in batch for question in entry.questions]))


def columns_of(batch: Sequence[Entry]) -> dict[str, Column]:
    """The parameters of JOURNAL but for the process's own."""
    steps = [step for entry in batch for step in entry.steps]
    return dict(chain(_columns(_RUN_COLUMNS, [entry.row() for entry in batch]), _columns(_STEP_COLUMNS, steps)))


def _columns(
    columns: tuple[tuple[str, type[Column]], ...], rows: Sequence[tuple[Any, ...]]
) -> Iterator[tuple[str, Column]]:
    if not rows:
        return ((name, column()) for name, column in columns)
    return ((name, column(values)) for (name, column), values in zip(columns, zip(*rows, strict=True), strict=True))
