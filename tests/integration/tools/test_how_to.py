"""The tool of docs/how-to/write-a-tool.md, taken from the page and run as a worker runs it."""

import asyncio
import re
from datetime import UTC, datetime, timedelta
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from pipelines.engine.ports import ToolCall
from pipelines.errors import PipelineError
from pipelines.tools import registry
from pipelines.tools.invoke import ToolInvoker
from pipelines.tools.isolation import Isolation

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "write-a-tool.md"


def test_the_tool_of_the_page_loads_and_works(tmp_path, monkeypatch):
    (source,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (tmp_path / "units_tools.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    point = EntryPoint(name="units.convert", value="units_tools:convert", group=registry.GROUP)
    catalog = registry.read_catalog([point])
    spec = catalog.get("units.convert")
    assert spec is not None
    assert point.value in PAGE.read_text()

    async def call(given):
        async with Isolation(size=1) as isolation:
            invoker = ToolInvoker(catalog, isolation, run_id="r", task_id="t", now=datetime.now(UTC))
            return await invoker(
                ToolCall(spec=spec, input=given, path="distance", attempt=1, timeout=timedelta(seconds=20))
            )

    assert asyncio.run(call(spec.examples[0]["input"])) == spec.examples[0]["output"]
    with pytest.raises(PipelineError, match="bad_argument"):
        asyncio.run(call({"value": -1, "from": "mi", "to": "km"}))
