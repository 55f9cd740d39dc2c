"""Tables of the reference say each thing once: two rows for one thing disagree sooner or later."""

import re
from collections import Counter
from itertools import groupby
from pathlib import Path

import pytest

REFERENCE = Path(__file__).parents[3] / "docs" / "reference"
# Its rows are of a rule and a start.
PAGES = sorted(page for page in REFERENCE.glob("*.md") if page.stem != "rrule-differences")


def first_cells(page: Path) -> list[list[str]]:
    """Of each table of the page, the first cell of each row below the heading."""
    lines = page.read_text(encoding="utf-8").splitlines()
    tables = [list(rows) for is_table, rows in groupby(lines, key=lambda line: line.startswith("|")) if is_table]
    return [[row.split("|")[1].strip() for row in rows[2:]] for rows in tables]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_no_table_has_two_rows_for_one_thing(page: Path) -> None:
    twice = [cell for cells in first_cells(page) for cell, count in Counter(cells).items() if cell and count > 1]

    assert twice == []


def test_each_address_of_the_api_is_listed_once() -> None:
    listed = Counter(path for cells in first_cells(REFERENCE / "api.md") for cell in cells for path in _paths(cell))

    assert len(listed) > 50
    assert [path for path, count in listed.items() if count > 1] == []


def _paths(cell: str) -> list[str]:
    return re.findall(r"`(/[^`]*)`", cell)
