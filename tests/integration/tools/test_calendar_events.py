"""The calendar tool as a worker runs it: in its isolated process, from files and from a web server."""

import asyncio
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipelines.engine.ports import ToolCall
from pipelines.errors import ErrorClass, PipelineError
from pipelines.simulation import simulate
from pipelines.tools.calendar_events import OUTPUT_SCHEMA
from pipelines.tools.invoke import ToolInvoker
from pipelines.tools.isolation import Isolation
from pipelines.tools.json_schema import first_breach
from pipelines.tools.registry import catalog
from tests.integration.tools.web import reply

DAY = (Path(__file__).parents[2] / "examples" / "day.ics").read_bytes()
SPAN = {"start": "2025-06-02T00:00:00Z", "end": "2025-06-03T00:00:00Z"}
HOSTILE_RULES = ["FREQ=SECONDLY;BYMONTH=2;BYMONTHDAY=30", "FREQ=SECONDLY;COUNT=99999999"]


@pytest.fixture
def folder(settings, tmp_path):
    folder = tmp_path / "calendars"
    folder.mkdir()
    settings.ORDINAUT_CALENDAR_DIR = str(folder)
    return folder


def list_events(*, seconds: float = 20, simulated: bool = False, **given):
    async def once():
        async with Isolation(size=1) as isolation:
            spec = catalog().get("calendar.list_events")
            assert spec is not None
            invoker = ToolInvoker(
                catalog(), isolation, run_id="r", task_id="t", now=datetime.now(UTC), simulated=simulated
            )
            return await invoker(
                ToolCall(spec=spec, input=SPAN | given, path="e", attempt=1, timeout=timedelta(seconds=seconds))
            )

    return asyncio.run(once())


def failure(**given) -> PipelineError:
    with pytest.raises(PipelineError) as caught:
        list_events(**given)
    return caught.value


def test_a_file_of_the_folder_is_listed(folder):
    (folder / "day.ics").write_bytes(DAY)

    result = list_events(source="day.ics")

    assert [(item["title"], item["start"]) for item in result["items"]] == [
        ("Stand-up", "2025-06-02T06:30:00Z"),
        ("Design review", "2025-06-02T12:00:00Z"),
    ]
    assert (result["count"], result["truncated"]) == (2, False)
    assert first_breach(OUTPUT_SCHEMA, result) is None


def test_a_url_is_fetched_through_the_guard(web, settings):
    web.answers["/day.ics"] = reply(200, DAY, content_type="text/calendar")

    assert list_events(source=web.url("/day.ics"))["count"] == 2

    settings.ORDINAUT_HTTP_ALLOW = []
    assert failure(source=web.url("/day.ics")).code == "address_refused"


def test_a_failing_url_fails_as_a_request_does(web):
    web.answers["/day.ics"] = reply(503, retry_after="9")

    error = failure(source=web.url("/day.ics"))

    assert (error.code, error.error_class, error.retry_after) == ("http_503", ErrorClass.TRANSIENT, 9)


def test_a_folder_inside_the_folder_may_be_named(folder):
    (folder / "team").mkdir()
    (folder / "team" / "day.ics").write_bytes(DAY)

    assert list_events(source="team/day.ics")["count"] == 2


@pytest.mark.parametrize(
    "source", ["../secret.ics", "a/../../secret.ics", "/etc/hostname", "link.ics", "dir/secret.ics"]
)
def test_nothing_outside_the_folder_is_read(folder, source):
    (folder.parent / "secret.ics").write_bytes(DAY)
    (folder / "link.ics").symlink_to(folder.parent / "secret.ics")
    (folder / "dir").symlink_to(folder.parent)

    error = failure(source=source)

    assert (error.code, error.error_class) == ("calendar_refused", ErrorClass.PERMANENT)


@pytest.mark.parametrize("source", ["file:///etc/passwd", "ftp://example.org/a.ics"])
def test_no_other_scheme_is_taken(folder, source):
    assert failure(source=source).code == "bad_argument"


@pytest.mark.parametrize("source", ["https://127.0.0.1:9/day.ics", "webcal://example.org/day.ics"])
def test_in_a_simulated_run_no_url_is_read_and_a_file_is(folder, source):
    (folder / "day.ics").write_bytes(DAY)
    step = {"id": "day", "uses": "calendar.list_events", "with": SPAN | {"source": source}, "simulate": "real"}
    local = {**step, "with": SPAN | {"source": "day.ics"}}

    by_worker = failure(source=source, simulated=True)
    by_command = simulate({"version": 1, "steps": [step]}, catalog=catalog())["error"]
    of_file = simulate({"version": 1, "steps": [local]}, catalog=catalog())

    assert (by_worker.code, by_command["code"]) == ("offline", "offline")
    assert list_events(source="day.ics", simulated=True)["count"] == 2
    assert of_file["steps"][0]["output"]["count"] == 2


def test_a_named_pipe_is_refused_without_waiting_for_a_writer(folder):
    os.mkfifo(folder / "pipe.ics")

    assert failure(source="pipe.ics", seconds=5).code == "calendar_refused"


def test_without_a_folder_no_file_is_read_and_the_error_names_the_setting(settings):
    settings.ORDINAUT_CALENDAR_DIR = ""

    assert "ORDINAUT_CALENDAR_DIR" in failure(source="day.ics").detail


def test_a_file_that_is_missing_is_told_by_name(folder):
    assert "'day.ics'" in failure(source="day.ics").detail


def test_an_oversized_file_is_refused(folder):
    (folder / "big.ics").write_bytes(b" " * (5 * 1024 * 1024 + 1))

    assert (failure(source="big.ics").code, failure(source="big.ics").error_class) == ("too_large", ErrorClass.LIMIT)


@pytest.mark.parametrize("rule", HOSTILE_RULES)
def test_a_rule_that_never_ends_is_stopped_at_the_time_out(folder, rule):
    hostile = DAY.replace(b"RRULE:FREQ=DAILY", b"RRULE:" + rule.encode())
    (folder / "hostile.ics").write_bytes(hostile)

    error = failure(source="hostile.ics", seconds=1, start="2025-03-01T00:00:00Z", end="2026-01-01T00:00:00Z")

    assert (error.code, error.error_class) == ("timeout", ErrorClass.TIMEOUT)
