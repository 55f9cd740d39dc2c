"""Compiled pipelines: once a revision and process, because a revision never changes."""

from dataclasses import dataclass

import orjson

from pipelines.document import DocumentInvalid, Pipeline, Problem, compile_document
from pipelines.errors import ErrorClass, PipelineError
from pipelines.tools.base import Catalog

_UNKNOWN_TOOL = "unknown_tool"


@dataclass(frozen=True, slots=True)
class ToolsMissing:
    """The document names tools that this host lacks; another may have them."""

    detail: str


# What a revision is to this host: something to run, something that no host can run, or work for another host.
Compiled = Pipeline | PipelineError | ToolsMissing


def compile_revision(document: bytes, *, catalog: Catalog) -> Compiled:
    """Compile a stored document. Never raises for what is in it: a row may be damaged, or of a newer release."""
    try:
        return compile_document(orjson.loads(document), catalog=catalog)
    except orjson.JSONDecodeError as error:
        return _invalid(f"the stored document is not JSON: {error}")
    except DocumentInvalid as error:
        errors = [problem for problem in error.problems if problem.severity == "error"]
        if errors and all(problem.code == _UNKNOWN_TOOL for problem in errors):
            return ToolsMissing("; ".join(_with_hint(problem) for problem in errors))
        return _invalid("; ".join(f"{problem.pointer}: {problem.detail}" for problem in errors))
    except Exception as error:  # noqa: BLE001 - whatever a damaged document does to the compiler, it fails its runs only
        return _invalid(f"the stored document cannot be compiled: {type(error).__name__}: {error}")


def missing_revision() -> PipelineError:
    return PipelineError("revision_missing", ErrorClass.INTERNAL, "the revision that this run is pinned to is gone")


def _with_hint(problem: Problem) -> str:
    """With what the catalog knows of it: a tool server may be disabled."""
    return f"{problem.detail} ({problem.hint})" if problem.hint else problem.detail


def _invalid(detail: str) -> PipelineError:
    return PipelineError("document_invalid", ErrorClass.VALIDATION, detail[:2000])
