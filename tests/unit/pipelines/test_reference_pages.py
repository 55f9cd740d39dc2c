"""The documents of the reference and of the cookbook are tried."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.document import compile_document, document_schema, parse, validate
from pipelines.document.kinds import KINDS
from pipelines.document.nodes import walk
from pipelines.document.shape import STEP_FIELDS
from pipelines.simulation import ended_as_wanted, simulate
from pipelines.tools.registry import catalog

DOCS = Path(__file__).parents[3] / "docs"
PAGE = DOCS / "reference" / "pipeline-language.md"
SECRETS = DOCS / "how-to" / "secrets.md"
COOKBOOK = DOCS / "how-to" / "cookbook.md"


def examples_of(page: Path) -> list[str]:
    return re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)


def examples() -> Iterator[Any]:
    for page in (PAGE, COOKBOOK, SECRETS):
        for number, example in enumerate(examples_of(page), start=1):
            yield pytest.param(example, id=f"{page.stem} {number}")


@pytest.mark.parametrize("example", list(examples()))
def test_an_example_is_valid_and_its_asserts_hold(example):
    written = parse(example)

    assert validate(written, catalog=catalog()) == []
    assert ended_as_wanted(simulate(written, catalog=catalog()))


def test_every_field_and_kind_is_on_the_page():
    page = PAGE.read_text()

    fields = {*STEP_FIELDS, *document_schema()["properties"], *KINDS}
    assert [name for name in fields if not re.search(rf"`{name}[`:]", page)] == []


def test_every_kind_of_step_runs_in_an_example_of_the_page():
    kinds: set[str] = set()
    for example in examples_of(PAGE):
        pipeline = compile_document(parse(example), catalog=catalog())
        ended = simulate(parse(example), catalog=catalog())["steps"]
        ran = {step["path"].rpartition(".")[2] for step in ended if step["state"] in ("succeeded", "failed")}
        kinds |= {
            step.kind
            for steps in (pipeline.steps, pipeline.on_error, pipeline.last)
            for step in walk(steps)
            if step.id in ran
        }

    assert sorted({kind.name for kind in KINDS.values()} - kinds) == []
