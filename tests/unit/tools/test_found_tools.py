"""What is made of a tool that a server lists."""

import subprocess
import sys
from typing import Any

import pytest

from pipelines.servers.discovery import MOST_SCHEMA_BYTES, found_tool, side_effect_of
from pipelines.tools.base import SideEffect
from tests.processes import ROOT


def listed(**fields: Any) -> dict[str, Any]:
    return {"name": "read", "description": "Reads.", "inputSchema": {"type": "object"}, "outputSchema": None, **fields}


@pytest.mark.parametrize(
    ("hints", "side_effect"),
    [
        ({}, SideEffect.EFFECT),
        ({"readOnlyHint": False, "destructiveHint": False}, SideEffect.EFFECT),
        ({"readOnlyHint": True}, SideEffect.IDEMPOTENT),
        ({"idempotentHint": True, "destructiveHint": True}, SideEffect.IDEMPOTENT),
        ({"readOnlyHint": None, "idempotentHint": None}, SideEffect.EFFECT),
    ],
)
def test_hints_say_what_repeating_does_and_silence_is_an_effect(hints: dict[str, Any], side_effect: SideEffect):
    assert side_effect_of(hints) is side_effect


@pytest.mark.parametrize("name", ["read", "fs.read", "fs/read", "2nd", "a_b-c", "-dash"])
def test_names_that_a_step_can_write(name: str):
    assert found_tool("files", listed(name=name)).problem == ""


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"name": "two words"}, "no step can name it"),
        ({"name": "a..b"}, "no step can name it"),
        ({"name": "x" * 111}, "120 characters"),
        ({"name": "nul\x00"}, "no step can name it"),
        ({"description": "nul\x00"}, "NUL"),
        ({"inputSchema": {"type": "no such"}}, "input schema"),
        ({"outputSchema": {"$ref": "https://far.example/"}}, "output schema"),
        ({"inputSchema": {"description": "x" * MOST_SCHEMA_BYTES}}, "bytes"),
        ({"inputSchema": {"const": 2**70}}, "2^53"),
    ],
)
def test_what_cannot_be_used_is_kept_with_the_reason_and_without_schemas(fields: dict[str, Any], words: str):
    found = found_tool("files", listed(**fields))

    assert words in found.problem
    assert (found.input_schema, found.output_schema) == ({}, None)
    assert "\x00" not in found.name


def test_the_sdk_is_not_loaded_before_a_server_is_asked():
    code = (
        "import os, sys, django; os.environ['DJANGO_SETTINGS_MODULE'] = 'ordinaut_project.settings'; django.setup();"
        "import pipelines.servers.admin, pipelines.servers.operations, workers.lifecycle; print('mcp' in sys.modules)"
    )

    seen = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)

    assert seen.stdout == "False\n"
