import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pytest_django import Settings

from pipelines.tools.base import ToolContext, ToolSpec
from tests.integration.tools.web import Web, serving


@pytest.fixture
def web(settings: Settings) -> Iterator[Web]:
    with serving(settings) as web:
        yield web


@pytest.fixture
def context() -> ToolContext:
    return ToolContext(
        run_id="0197a0b2-0000-7000-8000-000000000001",
        task_id="0197a0b2-0000-7000-8000-000000000002",
        step_path="send",
        attempt=1,
        idempotency_key="0197a0b2-0000-7000-8000-000000000001:send",
        now=datetime(2025, 6, 2, 5, 0, tzinfo=UTC),
        time_left=timedelta(seconds=20),
    )


@pytest.fixture
def call(context: ToolContext) -> Callable[..., Any]:
    """Call a tool in this process: `call(spec, url=...)`, or `call(spec, another_context, url=...)`."""

    def run(spec: ToolSpec, own: ToolContext = context, /, **given: Any) -> Any:
        assert spec.call is not None
        result = spec.call(own, **given)
        return asyncio.run(result) if asyncio.iscoroutine(result) else result

    return run


@pytest.fixture
def simulate(context: ToolContext) -> Callable[..., Any]:
    """What a tool's own simulation gives: `simulate(spec, url=...)`."""

    def run(spec: ToolSpec, /, **given: Any) -> Any:
        assert spec.simulate is not None
        return spec.simulate(context, **given)

    return run
