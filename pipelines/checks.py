"""System checks of the settings and tools of this app.

Errors stop a service before it starts. A tool that cannot be loaded is a warning: the others still work, and a
pipeline that names it is refused at save.
"""

from collections.abc import Callable
from typing import Any

from django.core import checks

from pipelines import conf
from pipelines.tools import registry

_READERS: tuple[tuple[str, Callable[[], Any], str], ...] = (
    ("pipelines.E001", conf.http_allow, "Write entries as host:port, for example 127.0.0.1:8099."),
    ("pipelines.E009", conf.llm_endpoint, "Name the endpoint, for example https://api.openai.com/v1."),
    ("pipelines.E010", conf.webhook_secrets, "Write entries as host=whsec_ and 24 to 64 random bytes in base64."),
    ("pipelines.E011", conf.vault, "Make a key by `manage.py newkey`; of several the first encrypts."),
    ("pipelines.E002", conf.simulated_tools, "Give a JSON object of tool name to example output, or its file's path."),
    ("pipelines.E003", conf.isolated_processes, "Give the number of isolated tool calls that run at a time."),
    ("pipelines.E004", conf.isolated_memory, "Give a number of mebibytes, 0 for no limit."),
    ("pipelines.E006", conf.isolated_max_calls, "Give a number of calls, 0 for never."),
    ("pipelines.E007", conf.isolated_max_memory, "Give a number of mebibytes, 0 for never."),
    ("pipelines.E012", conf.mcp_commands, "Give the programs that tool servers may be started with, such as npx."),
    ("pipelines.E013", conf.mcp_tokens, "Write entries as host=token."),
    ("pipelines.E005", conf.tool_environment, "Give the names of environment variables."),
)


def check_settings(**_: object) -> list[checks.CheckMessage]:
    """Each setting of this app has the form that its reader expects."""
    found: list[checks.CheckMessage] = []
    for check_id, read, hint in _READERS:
        try:
            read()
        except conf.SettingError as error:
            found.append(checks.Error(str(error), hint=hint, id=check_id))
    folder = conf.calendar_dir()
    if folder is not None and not folder.is_dir():
        found.append(
            checks.Warning(
                f"ORDINAUT_CALENDAR_DIR: {folder} is not a folder.",
                hint="Make the folder, or unset the variable: calendar.list_events cannot read files without it.",
                id="pipelines.W001",
            )
        )
    return found


def check_tools(**_: object) -> list[checks.CheckMessage]:
    """Every entry point of `ordinaut.tools` gives a tool, and every declared tool has a use."""
    return [
        checks.Warning(
            f"{problem.source}: {problem.detail}",
            hint="Pipelines that use this tool are refused until it is repaired.",
            id="pipelines.W002",
        )
        for problem in registry.catalog().problems
    ]
