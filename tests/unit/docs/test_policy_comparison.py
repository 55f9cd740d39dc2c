"""What `docs/reference/policy-comparison.md` says of others has a source, and every source is used."""

import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "policy-comparison.md").read_text()
BODY, _, NOTES = PAGE.partition("\n[^")
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in BODY.splitlines() if line.startswith("| ")]
SYSTEMS = len(ROWS[0])


@pytest.mark.parametrize("row", ROWS[1:], ids=lambda row: row[0])
def test_each_cell_about_others_has_a_source_or_says_that_none_was_found(row):
    assert len(row) == SYSTEMS
    for cell in row[2:]:
        assert re.search(r"\[\^\w+\]", cell) or re.match(r"nd\b", cell), cell


def test_sources_and_their_uses_agree():
    defined = set(re.findall(r"^\[\^(\w+)\]: .*(?:https://|`[\w-]+/[\w-]+`)", "[^" + NOTES, re.MULTILINE))

    assert set(re.findall(r"\[\^(\w+)\]", BODY)) == defined
