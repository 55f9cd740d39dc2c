"""The examples of `docs/reference/schedules.md` say what the command says."""

import io
import json
import re
import shlex
from pathlib import Path

from django.core.management import call_command

from scheduling.management.commands.previewschedule import answer_line

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "schedules.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_the_command_line_prints_what_the_page_shows():
    (block,) = blocks("console")
    command, _, shown = block.replace("\\\n", "").partition("\n")
    written = io.StringIO()

    call_command(*shlex.split(command)[3:], stdout=written)

    assert written.getvalue() == shown


def test_a_line_of_json_is_answered_as_the_page_shows():
    line, answer, error = (block.strip() for block in blocks("json"))

    assert answer_line(line.encode()) == json.loads(answer)
    assert answer_line(b'{"kind":"cron","expression":"1 2 3"}') == json.loads(error)
