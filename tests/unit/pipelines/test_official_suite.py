"""JMESPath in strict mode, through the command: cases of our own, and its compliance suite where that is at hand.

The files of the suite are others' work and not part of this repository: the folder that holds them (`tests` of
jmespath.test, `compliance` of go-jmespath) is named by ORDINAUT_TEST_JMESPATH_SUITE. Random expressions are compared
with the reference implementation in `tests/property/pipelines/test_expressions.py`.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.processes import ROOT

SUITE = os.environ.get("ORDINAUT_TEST_JMESPATH_SUITE")
SHOP = {
    "name": "shop",
    "open": False,
    "items": [
        {"id": 1, "tags": ["new", "red"], "price": 3},
        {"id": 2, "tags": [], "price": 1},
        {"id": 3, "tags": ["red"], "price": None},
    ],
    "by day": {"mon": 4, "tue": 0},
}
RESULTS: dict[str, Any] = {
    "name": "shop",
    '"by day".mon': 4,
    "nobody.knows": None,
    "items[0].id": 1,
    "items[-1].tags[0]": "red",
    "items[5]": None,
    "items[*].id": [1, 2, 3],
    "items[].tags[]": ["new", "red", "red"],
    "items[::-1].id": [3, 2, 1],
    "items[1:].id": [2, 3],
    "items[?price > `1`].id": [1],
    "items[?price == `null`].id": [3],
    "items[?contains(tags, 'red')] | [0].id": 1,
    "items[?!tags].id": [2],
    "items[?tags && price].id": [1],
    "*.mon | [0]": 4,
    '"by day".*': [4, 0],
    "{a: name, b: items[0].id}": {"a": "shop", "b": 1},
    "[name, open]": ["shop", False],
    "open || name": "shop",
    "!open": True,
    '`{"a": [1]}`.a[0]': 1,
    "'raw'": "raw",
    "length(items)": 3,
    "sort_by(items[:2], &price)[0].id": 2,
    "max_by(items[:2], &price).id": 1,
    "not_null(nobody, name)": "shop",
    "to_number('7')": 7,
    "join('-', keys(\"by day\") | sort(@))": "mon-tue",
}
ERRORS = {
    "items[": "syntax",
    "name name": "syntax",
    "items[::0]": "invalid-value",
    "nope(name)": "unknown-function",
    "length()": "invalid-arity",
    "length(open)": "invalid-type",
}


def asked() -> list[tuple[Any, dict[str, Any]]]:
    """Each case with the context that it is asked over."""
    ours = [
        *((SHOP, {"expression": expression, "result": result}) for expression, result in RESULTS.items()),
        *((SHOP, {"expression": expression, "error": error}) for expression, error in ERRORS.items()),
    ]
    theirs = [
        (group["given"], case)
        for file in (sorted(Path(SUITE).glob("*.json")) if SUITE else ())
        for group in json.loads(file.read_text())
        for case in group.get("cases", ())
        if "bench" not in case
    ]
    assert len(theirs) > 500 or not SUITE
    return ours + theirs


def test_every_case_is_answered_as_the_specification_says() -> None:
    cases = asked()
    lines = (json.dumps({"expression": case["expression"], "context": given, "strict": True}) for given, case in cases)
    command = [sys.executable, "manage.py", "evaluate", "--jsonl"]

    told = subprocess.run(command, cwd=ROOT, input="\n".join(lines), text=True, capture_output=True, check=True)

    wrong = []
    for (_, case), line in zip(cases, told.stdout.splitlines(), strict=True):
        answer = json.loads(line)
        wanted = {"error": case["error"]} if "error" in case else {"result": case["result"]}
        if "error" in answer:
            answer = {"error": answer["error"]["code"]}
        if answer != wanted:
            wrong.append((case["expression"], wanted, answer))
    assert wrong == []
