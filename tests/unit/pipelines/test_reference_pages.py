"""The reference's own document is tried."""

import re
from pathlib import Path

import pytest

from pipelines.document import document_schema, parse, validate
from pipelines.document.kinds import KINDS, PLANNED
from pipelines.document.shape import STEP_FIELDS
from pipelines.simulation import ended_as_wanted, simulate
from pipelines.tools.registry import catalog

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "pipeline-language.md"


@pytest.mark.parametrize("example", re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL))
def test_an_example_is_valid_and_its_asserts_hold(example):
    written = parse(example)

    assert validate(written, catalog=catalog()) == []
    assert ended_as_wanted(simulate(written, catalog=catalog()))


def test_every_field_and_kind_is_on_the_page():
    page = PAGE.read_text()

    fields = {*STEP_FIELDS, *document_schema()["properties"], *PLANNED, *KINDS}
    assert [name for name in fields if not re.search(rf"`{name}[`:]", page)] == []
