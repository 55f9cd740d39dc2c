import asyncio
import io
import logging
import time
from datetime import UTC, datetime, timedelta

import pytest

from pipelines.engine.ports import ToolCall
from pipelines.errors import ErrorClass, PipelineError
from pipelines.secrets.redaction import Redaction
from pipelines.tools.base import ToolSpec
from pipelines.tools.invoke import ToolInvoker, idempotency_key
from pipelines.tools.isolation import Isolation
from pipelines.tools.log_write import log_write
from pipelines.tools.registry import ToolCatalog
from tests.integration.tools import sample_tools as tools
from workers.encoding import encode

RUN = "0197a0b2-0000-7000-8000-000000000001"


@pytest.fixture
def invoke():
    """`invoke(spec, given, seconds=..., cancel_after=...)`: one call as the engine makes it."""

    def run(spec: ToolSpec, given=None, *, seconds=20.0, path="send", attempt=1, cancel_after=None):
        async def once():
            async with Isolation(size=1) as isolation:
                invoker = ToolInvoker(
                    ToolCatalog([spec]),
                    isolation,
                    run_id=RUN,
                    task_id="t",
                    now=datetime(2025, 6, 2, tzinfo=UTC),
                    lease_epoch=7,
                )
                call = ToolCall(
                    spec=spec, input=given or {}, path=path, attempt=attempt, timeout=timedelta(seconds=seconds)
                )
                task = asyncio.ensure_future(invoker(call))
                if cancel_after is not None:
                    asyncio.get_running_loop().call_later(cancel_after, task.cancel)
                return await task

        return asyncio.run(once())

    return run


def failure(invoke, *args, **options) -> PipelineError:
    with pytest.raises(PipelineError) as caught:
        invoke(*args, **options)
    return caught.value


def test_a_tool_runs_where_its_kind_says(invoke):
    assert invoke(tools.asynchronous) == "done"
    assert invoke(tools.trusted).startswith("tool")
    assert invoke(tools.echo, {"a": 1})["a"] == 1


def test_a_tool_is_told_the_lease_epoch_as_its_fencing_token(invoke):
    assert invoke(tools.echo)["epoch"] == 7


def test_the_idempotency_key_is_the_same_in_every_attempt_and_differs_by_step(invoke):
    keys = [
        invoke(tools.echo, path=path, attempt=attempt)["key"]
        for path, attempt in (("each[2].send", 1), ("each[2].send", 2), ("each[3].send", 1))
    ]

    assert keys == [f"{RUN}:each[2].send", f"{RUN}:each[2].send", f"{RUN}:each[3].send"]


def test_a_long_path_gives_a_key_of_bounded_length():
    deep, other = "each[1]." * 100 + "a", "each[1]." * 100 + "b"

    assert len(idempotency_key(RUN, deep)) < 120
    assert idempotency_key(RUN, deep) == idempotency_key(RUN, deep) != idempotency_key(RUN, other)


def test_an_input_that_breaks_the_schema_is_told_by_its_place_and_without_its_value(invoke):
    error = failure(invoke, log_write, {"message": "m", "level": "hunter2"})

    assert (error.code, error.error_class) == ("bad_argument", ErrorClass.VALIDATION)
    assert "/level" in error.detail
    assert "hunter2" not in error.detail
    assert error.extra == {"input_pointer": "/level"}


def test_an_input_that_is_no_json_is_a_bad_argument(invoke):
    assert failure(invoke, log_write, {1: 2}).code == "bad_argument"


@pytest.mark.parametrize("spec", [tools.asynchronous, tools.trusted])
def test_a_time_out_has_its_code_and_class(invoke, spec):
    error = failure(invoke, spec, {"seconds": 0.3}, seconds=0.05)

    assert (error.code, error.error_class) == ("timeout", ErrorClass.TIMEOUT)
    assert error.is_retryable


def test_a_late_trusted_tool_has_returned_before_its_time_out_is_told(invoke):
    began = time.monotonic()

    failure(invoke, tools.trusted, {"seconds": 0.3}, seconds=0.05)

    assert time.monotonic() - began >= 0.3


@pytest.mark.parametrize("spec", [tools.asynchronous, tools.trusted])
def test_cancellation_passes_through_at_once(invoke, spec):
    began = time.monotonic()

    with pytest.raises(asyncio.CancelledError):
        invoke(spec, {"seconds": 1.0}, cancel_after=0.05)

    assert time.monotonic() - began < 0.9


def test_a_tools_own_time_out_is_of_class_timeout(invoke):
    assert failure(invoke, tools.asynchronous, {"kind": "timeout"}).error_class is ErrorClass.TIMEOUT


def test_an_unknown_exception_is_internal_and_logged_with_its_traceback(invoke, caplog):
    error = failure(invoke, tools.asynchronous, {"kind": "error"})

    assert (error.code, error.error_class) == ("tool_error", ErrorClass.INTERNAL)
    assert error.detail == "test.asynchronous raised RuntimeError: no"
    assert "Traceback" in caplog.text


def test_a_declared_tool_cannot_be_called_for_real(invoke):
    declared = ToolSpec(name="telegram.send", description="", input_schema={}, output_schema={})

    assert failure(invoke, declared).code == "unknown_tool"


@pytest.mark.parametrize("kind", ["exit", "generator", "interrupt"])
def test_an_asynchronous_tool_that_ends_oddly_has_failed(invoke, kind):
    error = failure(invoke, tools.ends_oddly, {"kind": kind})

    assert (error.code, error.error_class) == ("tool_error", ErrorClass.INTERNAL)


@pytest.mark.parametrize("kind", ["next", "exit", "generator"])
def test_a_trusted_tool_that_ends_oddly_has_failed(invoke, kind):
    error = failure(invoke, tools.trusted_ends_oddly, {"kind": kind}, seconds=5)

    assert (error.code, error.error_class) == ("tool_error", ErrorClass.INTERNAL)


@pytest.fixture
def log(monkeypatch):
    """What is logged here, kept from pytest, whose reports halves of surrogate pairs would break."""
    handler, logger = logging.StreamHandler(io.StringIO()), logging.Logger("tools")  # noqa: LOG001 - pytest hears it not
    logger.addHandler(handler)
    monkeypatch.setattr("pipelines.tools.invoke.logger", logger)
    monkeypatch.setattr("pipelines.tools.isolation.logger", logger)
    return handler.stream


EVERYWHERE = [tools.isolated_raises_oddly, tools.raises_oddly, tools.trusted_raises_oddly]
SHOWN_TEXTS = {
    "nul": "a\N{REPLACEMENT CHARACTER}b",
    "surrogate": "a\N{REPLACEMENT CHARACTER}b",
    "long": "ab" * 5000 + "…",
}


@pytest.mark.parametrize("spec", EVERYWHERE)
@pytest.mark.parametrize("text", SHOWN_TEXTS)
def test_an_error_with_a_text_that_cannot_be_stored_keeps_its_class_and_all_that_can(invoke, spec, text):
    error = failure(invoke, spec, {"kind": "pipeline", "text": text})

    assert (error.code, error.error_class, error.retry_after) == ("busy", ErrorClass.TRANSIENT, 3)
    assert error.detail == SHOWN_TEXTS[text]
    assert error.cause == (None if text == "long" else {"said": SHOWN_TEXTS[text], "n": 7})
    encode(error.as_dict())


@pytest.mark.parametrize("spec", EVERYWHERE)
@pytest.mark.parametrize("text", SHOWN_TEXTS)
def test_an_error_whose_fields_have_other_types_is_read_as_well_as_it_can(invoke, spec, text):
    error = failure(invoke, spec, {"kind": "code", "text": text})

    assert error.code[:6] == f"busy{SHOWN_TEXTS[text]}"[:6]
    assert len(error.code) <= 201
    assert (error.error_class, error.detail, error.retry_after) == (ErrorClass.TRANSIENT, "5", None)
    encode(error.as_dict())


@pytest.mark.parametrize("spec", EVERYWHERE)
@pytest.mark.parametrize(
    ("kind", "text", "told"),
    [
        ("other", "nul", r"RuntimeError: a\x00b"),
        ("other", "surrogate", r"RuntimeError: a\ud800b"),
        ("other", "long", "RuntimeError: ababab"),
        ("none", "unreadable", "Unreadable: its text cannot be read"),
        ("none", "bare", "Bare: its text cannot be read"),
    ],
)
def test_an_exception_with_a_text_that_nobody_can_store_or_read_is_an_error_of_the_tool(
    invoke, log, spec, kind, text, told
):
    error = failure(invoke, spec, {"kind": kind, "text": text})

    assert (error.code, error.error_class) == ("tool_error", ErrorClass.INTERNAL)
    assert told in error.detail
    assert "Traceback" in log.getvalue()
    assert "sample_tools.py" in log.getvalue()
    encode(error.as_dict())


@pytest.mark.parametrize("spec", EVERYWHERE)
def test_a_secret_at_the_place_where_a_text_is_cut_is_taken_out_whole(invoke, spec):
    with Redaction({"key": "ba" * 20}).active():
        error = failure(invoke, spec, {"kind": "pipeline", "text": "long"})

    assert "ba" not in error.detail.replace("[secret key]", "")


@pytest.mark.parametrize(
    ("spec", "kind"),
    [
        (tools.ends_oddly, "inner"),
        (tools.ends_oddly, "itself"),
        (tools.trusted_ends_oddly, "canceled"),
        (tools.isolated_ends_oddly, "itself"),
        (tools.isolated_ends_oddly, "canceled"),
    ],
)
def test_a_cancellation_that_nobody_asked_for_is_the_tools_own_and_permanent(invoke, spec, kind):
    error = failure(invoke, spec, {"kind": kind})

    assert (error.code, error.error_class) == ("canceled_by_tool", ErrorClass.PERMANENT)


def test_a_cancellation_from_outside_is_no_failure_of_the_tool(invoke):
    with pytest.raises(asyncio.CancelledError):
        invoke(tools.asynchronous, {"seconds": 20}, cancel_after=0.1)


def test_a_result_that_comes_after_the_time_out_is_none(invoke):
    assert failure(invoke, tools.stubborn, {"seconds": 20}, seconds=0.2).code == "timeout"
