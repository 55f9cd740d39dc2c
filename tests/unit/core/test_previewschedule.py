"""The command: one schedule for people, lines of JSON for programs."""

import io
import json
import subprocess
import sys
import time
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from scheduling.management.commands.previewschedule import MAX_LINE, answer_line, answer_lines, read_lines
from tests.processes import ROOT
from tests.unit.core.costs import slowness

PARIS: dict[str, Any] = {
    "kind": "rrule",
    "expression": "FREQ=DAILY;COUNT=3",
    "timezone": "Europe/Paris",
    "starts_at": "2025-03-29T02:30:00",
    "after": None,
    "count": 5,
    "exdates": [],
    "rdates": [],
    "gap": "shift",
    "fold": "first",
}


def answered(line: Any) -> dict[str, Any]:
    return answer_line(json.dumps(line).encode())


def test_a_line_is_answered_with_local_times():
    assert answered(PARIS) == {
        "next": ["2025-03-29T02:30:00+01:00", "2025-03-30T03:30:00+02:00", "2025-03-31T02:30:00+02:00"]
    }


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"", "invalid_json"),
        (b"\n", "invalid_json"),
        (b"{", "invalid_json"),
        (b"\xff\xfe", "invalid_json"),
        (b"[1]", "invalid_json"),
        (b"null", "invalid_json"),
        (b"[" * 10_000, "invalid_json"),
        (b'{"kind": "cron", "expression": "* * * * *", "x": 1}', "unknown_field"),
        (b'{"kind": "cron", "expression": "\\u0000"}', "invalid_cron"),
    ],
)
def test_a_malformed_line_is_answered_with_an_error(line, code):
    error = answer_line(line)["error"]

    assert error["code"] == code
    assert error["detail"]


def test_each_line_has_its_answer_and_errors_stop_nothing():
    lines = [b"{\n", json.dumps(PARIS).encode() + b"\n", b"\n", json.dumps(PARIS | {"count": 1}).encode()]

    answers = [json.loads(line) for line in answer_lines(lines)]

    assert [list(answer) for answer in answers] == [["error"], ["next"], ["error"], ["next"]]


def test_a_line_that_always_falls_into_the_gap_is_answered_like_the_others():
    never = {"kind": "cron", "expression": "* 2 * 3 7#2", "timezone": "America/New_York"}
    lines = [
        json.dumps(line).encode() for line in (never, {**never, "after": "1999-01-01T00:00:00", "count": 9}, PARIS)
    ]

    refused, past, healthy = (json.loads(line) for line in answer_lines(lines))

    assert refused["error"]["code"] == "never_occurs"
    assert past["next"][0] == "1999-03-14T02:00:00-05:00"
    assert len(healthy["next"]) == 3


def test_an_endless_line_is_refused_without_being_kept():
    stream = io.BytesIO(b"x" * (3 * MAX_LINE) + b"\n" + b"{}\n")

    lines = list(read_lines(stream))

    assert [len(line) for line in lines] == [MAX_LINE + 1, 3]
    assert answer_line(lines[0])["error"]["code"] == "invalid_json"


def test_the_command_answers_standard_input_line_by_line(monkeypatch):
    stdin = io.TextIOWrapper(io.BytesIO(json.dumps(PARIS).encode() + b"\n{\n"))
    monkeypatch.setattr(sys, "stdin", stdin)
    written = io.StringIO()

    call_command("previewschedule", "--jsonl", stdout=written)

    assert ["next" in json.loads(line) for line in written.getvalue().splitlines()] == [True, False]


def test_the_command_shows_people_sentence_times_and_notes():
    written = io.StringIO()

    call_command(
        "previewschedule",
        "--kind=cron",
        "--expression=30 2 * * *",
        "--timezone=Europe/Berlin",
        "--after=2025-03-29T12:00:00",
        "--count=1",
        stdout=written,
    )

    sentence, occurrence, note = written.getvalue().splitlines()
    assert sentence == "Every day at 02:30 (Europe/Berlin)"
    assert occurrence.split() == ["2025-03-30T03:00:00+02:00", "2025-03-30T01:00:00Z"]
    assert "does not exist" in note


def test_the_command_says_what_is_wrong_and_how_to_mend_it():
    with pytest.raises(CommandError, match=r"expression: Cron has five fields(.|\n)*0 8 \* \* 1-5"):
        call_command("previewschedule", "--kind=cron", "--expression=0 8 * *")


def test_a_reader_that_has_seen_enough_is_no_error():
    given = ["--kind", "interval", "--expression", "PT1M", "--count", "10000"]
    command = [sys.executable, "manage.py", "previewschedule", *given]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as shown:
        assert shown.stdout is not None
        assert shown.stderr is not None
        assert shown.stdout.readline()
        shown.stdout.close()
        assert shown.stderr.read() == ""
        assert shown.wait(60) == 141


def different_lines(count: int) -> list[bytes]:
    """Rules of several kinds in several zones, none of them twice."""
    shapes = (
        ("cron", "{minute} {hour} * * 1-5"),
        ("cron", "{minute} {hour} L * *"),
        ("rrule", "FREQ=WEEKLY;INTERVAL=2;BYDAY=TU,TH;BYHOUR={hour};BYMINUTE={minute}"),
        ("rrule", "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1;BYHOUR={hour};BYMINUTE={minute}"),
        ("interval", "PT{hour}H{minute}M"),
    )
    zones = ("UTC", "Europe/Chisinau", "America/New_York", "Australia/Lord_Howe")
    lines = []
    for number in range(count):
        kind, expression = shapes[number % 5]
        hour, minute = number // 5 % 23 + 1, number // 115 % 59 + 1
        lines.append(
            {
                "kind": kind,
                "expression": expression.format(hour=hour, minute=minute),
                "timezone": zones[number % 4],
                "starts_at": "2015-06-01T08:30:00",
                "after": "2026-06-01T00:00:00",
                "count": 5,
            }
        )
    assert len({json.dumps(line) for line in lines}) == count
    return [json.dumps(line).encode() for line in lines]


def test_thousands_of_different_lines_are_answered_in_a_second() -> None:
    """Of processor time, the best of three turns."""
    batches = [different_lines(3000)[start::3] for start in range(3)]
    rates = []
    for lines in batches:
        here, began = slowness(), time.thread_time()
        answers = list(answer_lines(lines))
        rates.append(len(lines) / (time.thread_time() - began) * here)
        assert all(len(json.loads(answer)["next"]) == 5 for answer in answers)

    assert max(rates) > 2000
