"""Every proof that the page of guarantees names exists, and every invariant of the torture driver is on it."""

import re

from tests.chaos.invariants import INVARIANTS
from tests.chaos.plan import KINDS
from tests.processes import ROOT

_PROOF = re.compile(r"`(tests/[^`]+)`")
_INVARIANT = re.compile(r"`torture: ([^`]+)`")
PAGE = (ROOT / "docs" / "explanation" / "guarantees.md").read_text(encoding="utf-8")


def test_every_test_that_is_named_exists():
    missing = []
    for proof in _PROOF.findall(PAGE):
        path, _, name = proof.partition("::")
        place = ROOT / path
        is_there = place.is_file() if path.endswith(".py") else any(place.glob("test_*.py"))
        if not is_there or (name and f"def {name}(" not in place.read_text(encoding="utf-8")):
            missing.append(proof)

    assert missing == []


def test_the_page_and_the_torture_driver_name_the_same_invariants():
    assert set(_INVARIANT.findall(PAGE)) == {each.name for each in INVARIANTS}


def test_every_row_of_a_promise_names_its_proof():
    tables = PAGE.split("## What is not promised", maxsplit=1)[0]
    rows = [line for line in tables.splitlines() if line.startswith("| ") and not line.startswith("| promise")]

    assert rows
    assert [row for row in rows if "`t" not in row.rsplit("|", 2)[1]] == []


def test_the_reference_names_every_kind_of_fault():
    page = (ROOT / "docs" / "reference" / "torture.md").read_text(encoding="utf-8")

    assert [kind for kind in KINDS if f"`{kind}`" not in page] == []
