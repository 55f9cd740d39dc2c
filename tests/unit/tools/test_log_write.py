import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pipelines.tools.base import ToolContext
from pipelines.tools.log_write import log_write

CONTEXT = ToolContext(
    run_id="run-1",
    task_id="task-1",
    step_path="umbrella",
    attempt=2,
    idempotency_key="run-1:umbrella",
    now=datetime(2025, 6, 2, tzinfo=UTC),
    time_left=timedelta(seconds=5),
)


def logged(caplog, **given):
    """The one structured event that the call logs."""
    caplog.set_level("DEBUG", logger="pipelines.tools.log_write")
    assert log_write.call is not None

    assert asyncio.run(log_write.call(CONTEXT, **given)) == {"logged": True}

    (record,) = (record for record in caplog.records if record.name == "pipelines.tools.log_write")
    return record, record.msg


def test_a_line_has_the_ids_of_run_and_step(caplog):
    record, event = logged(caplog, message="Umbrella day: 4 mm", level="warning", fields={"mm": 4})

    assert record.levelname == "WARNING"
    assert event["event"] == "Umbrella day: 4 mm"
    assert (event["run_id"], event["task_id"], event["step"], event["attempt"]) == ("run-1", "task-1", "umbrella", 2)
    assert event["fields"] == {"mm": 4}


@pytest.mark.parametrize("text", ["a\nlevel=error msg=forged", "\x1b[2J\x1b]0;owned\x07", "a\u202eb", "100% %s {}"])
def test_line_breaks_and_terminal_escapes_do_nothing(caplog, text):
    _, event = logged(caplog, message=text, fields={text: [text, {"deep": text}]})

    assert len(str(event).splitlines()) == 1
    assert "\x1b" not in f"{event['event']}{event['fields']}"
    assert "\u202e" not in f"{event['event']}{event['fields']}"


def test_fields_cannot_overwrite_the_ids(caplog):
    _, event = logged(caplog, message="m", fields={"run_id": "forged", "event": "forged"})

    assert (event["run_id"], event["event"]) == ("run-1", "m")


def test_a_huge_message_and_bottomless_fields_are_cut(caplog):
    deep: dict[str, Any] = {}
    leaf = deep
    for _ in range(1000):
        leaf["in"] = {}
        leaf = leaf["in"]

    _, event = logged(caplog, message="x" * 100_000, fields=deep)

    assert len(event["event"]) < 9000
    assert str(event["fields"]).count("in") <= 20
