"""The settings reference names every variable that the settings read, and no other."""

import re

from tests.processes import ROOT

_READ = re.compile(r'env\.(?:text|integer|boolean|seconds|days|words)\(\s*"([A-Z_]+)"')
_NAMED = re.compile(r"`([A-Z]+(?:_[A-Z]+)+)`")


def test_the_reference_names_every_variable_that_is_read():
    read = set(_READ.findall((ROOT / "ordinaut_project" / "settings.py").read_text(encoding="utf-8")))
    named: set[str] = set()
    for line in (ROOT / "docs" / "reference" / "settings.md").read_text(encoding="utf-8").splitlines():
        cell = line.split("|")[1] if line.startswith("| `") else ""
        named.update(_NAMED.findall(cell))

    assert named == read
