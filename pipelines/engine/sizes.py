"""How much a run has made: each result is bounded, and so are all of them together."""

from collections.abc import Iterable
from typing import Any, Final

import orjson

from pipelines.document.limits import MAX_RESULT_BYTES, MAX_RUN_BYTES
from pipelines.engine.ports import StepEntry
from pipelines.errors import ErrorClass, PipelineError

# Once the limit is reached, for the lists that run last.
_BYTES_IN_THE_END: Final = 1024 * 1024


class RunSize:
    """The encoded bytes of the results of a run's steps, those of containers included, which are kept as well."""

    def __init__(self, history: Iterable[StepEntry]) -> None:
        self._total = sum(_size_of(entry.output) for entry in history if entry.output is not None)

    def add(self, result: Any, *, runs_last: bool) -> None:
        """Count a result. Raises PipelineError, class `limit`: `too_large` for this one, `run_too_large` for all."""
        size = _size_of(result)
        if size > MAX_RESULT_BYTES:
            raise _over("too_large", f"the result has {size} bytes as JSON; {MAX_RESULT_BYTES} are allowed")
        most = MAX_RUN_BYTES + (_BYTES_IN_THE_END if runs_last else 0)
        if self._total + size > most:
            raise _over(
                "run_too_large",
                f"with this result of {size} bytes the results of the run have {self._total + size} bytes as JSON; "
                f"{most} are allowed",
            )
        self._total += size


def _size_of(result: Any) -> int:
    return 0 if result is None else len(orjson.dumps(result))


def _over(code: str, detail: str) -> PipelineError:
    return PipelineError(code=code, error_class=ErrorClass.LIMIT, detail=detail)
