"""JMESPath's own compliance suite, through the command and in strict mode.

Its files are others' work and not part of this repository: give the folder that holds them (`tests` of
jmespath.test, `compliance` of go-jmespath) by ORDINAUT_TEST_JMESPATH_SUITE. What the language says is tried without
them in `tests/property/pipelines/test_expressions.py`, against the reference implementation.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.processes import ROOT

SUITE = os.environ.get("ORDINAUT_TEST_JMESPATH_SUITE")

pytestmark = pytest.mark.skipif(not SUITE, reason="ORDINAUT_TEST_JMESPATH_SUITE names no folder")


def cases() -> list[tuple[Any, dict[str, Any]]]:
    """Each case with the context that it is asked over."""
    found = [
        (group["given"], case)
        for file in sorted(Path(SUITE or "").glob("*.json"))
        for group in json.loads(file.read_text())
        for case in group.get("cases", ())
        if "bench" not in case
    ]
    assert len(found) > 500
    return found


def test_every_case_is_answered_as_the_suite_says() -> None:
    asked = cases()
    lines = (json.dumps({"expression": case["expression"], "context": given, "strict": True}) for given, case in asked)
    command = [sys.executable, "manage.py", "evaluate", "--jsonl"]

    told = subprocess.run(command, cwd=ROOT, input="\n".join(lines), text=True, capture_output=True, check=True)

    wrong = []
    for (_, case), line in zip(asked, told.stdout.splitlines(), strict=True):
        answer = json.loads(line)
        wanted = {"error": case["error"]} if "error" in case else {"result": case["result"]}
        if "error" in answer:
            answer = {"error": answer["error"]["code"]}
        if answer != wanted:
            wrong.append((case["expression"], wanted, answer))
    assert wrong == []
