"""What a step fails with where the run that it asks for cannot be started."""

from pipelines.errors import ErrorClass, PipelineError
from scheduling.errors import NotValid, SchedulingError


def start_error(error: SchedulingError, pointer: str | None = None) -> PipelineError:
    """Params that do not fit are a bad argument, all else stays. `pointer` is of the step, where known."""
    first = error.problems[0] if isinstance(error, NotValid) and error.problems else None
    below = "/run"
    code, error_class = error.code if first is None else first.code, ErrorClass.PERMANENT
    if first is not None and first.pointer.startswith("/params"):
        below, code, error_class = first.pointer, "bad_argument", ErrorClass.VALIDATION
    return PipelineError(code, error_class, str(error), pointer=None if pointer is None else f"{pointer}{below}")
