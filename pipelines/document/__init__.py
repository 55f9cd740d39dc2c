"""The pipeline document: from text to a compiled pipeline, with every problem named at once.

`parsing` reads JSON and YAML, `normalisation` brings other forms to version 1, `compiler` checks and compiles. `shape`
holds the schemas, `kinds` one module for each kind of step, `names` what expressions may refer to at their place,
`nodes` what comes out. Nothing here knows how a run is carried out.
"""

from pipelines.document.compiler import check_params, compile_document, validate
from pipelines.document.nodes import Pipeline, Step
from pipelines.document.normalisation import normalise
from pipelines.document.parsing import parse
from pipelines.document.problems import DocumentInvalid, Problem, Severity, has_errors
from pipelines.document.publication import document_schema

__all__ = [
    "DocumentInvalid",
    "Pipeline",
    "Problem",
    "Severity",
    "Step",
    "check_params",
    "compile_document",
    "document_schema",
    "has_errors",
    "normalise",
    "parse",
    "validate",
]
