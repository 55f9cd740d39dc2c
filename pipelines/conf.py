"""The settings of this app, typed. The only reader of `ORDINAUT_*` settings in `pipelines`.

Every reader raises `SettingError` for a value of the wrong form; `pipelines.checks` turns each into a system check,
so that a service refuses to start instead of failing at its first call.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from pipelines.secrets.vault import Vault, read_key
from pipelines.tools.addresses import AllowList
from pipelines.tools.bearer_tokens import BearerTokens
from pipelines.tools.webhook_secrets import WebhookSecrets

_MEBIBYTE = 1024 * 1024


class SettingError(ImproperlyConfigured):
    """A setting has a value of the wrong form."""


def http_allow() -> AllowList:
    """The private targets that `ORDINAUT_HTTP_ALLOW` opens, each written `host:port`."""
    try:
        return AllowList.parse(getattr(settings, "ORDINAUT_HTTP_ALLOW", ()))
    except ValueError as error:
        raise SettingError(f"ORDINAUT_HTTP_ALLOW: {error}") from None


def webhook_secrets() -> WebhookSecrets:
    """What `ORDINAUT_WEBHOOK_SECRETS` says: entries `host=whsec_...` or `host:port=whsec_...`."""
    try:
        return WebhookSecrets.parse(getattr(settings, "ORDINAUT_WEBHOOK_SECRETS", ()))
    except ValueError as error:
        raise SettingError(f"ORDINAUT_WEBHOOK_SECRETS: {error}") from None


def vault() -> Vault:
    """What encrypts secrets with the keys of `ORDINAUT_ENCRYPTION_KEYS`, the first for new ones."""
    try:
        return Vault([read_key(text) for text in getattr(settings, "ORDINAUT_ENCRYPTION_KEYS", ())])
    except ValueError as error:
        raise SettingError(f"ORDINAUT_ENCRYPTION_KEYS: {error}") from None


@dataclass(frozen=True, slots=True)
class LlmEndpoint:
    """Where language models are asked. `url` is what `/chat/completions` is added to; empty texts are not set."""

    url: str
    key: str = field(repr=False)
    model: str


def llm_endpoint() -> LlmEndpoint:
    """What `ORDINAUT_LLM_URL`, `ORDINAUT_LLM_KEY` and `ORDINAUT_LLM_MODEL` say."""
    url = str(getattr(settings, "ORDINAUT_LLM_URL", "") or "").strip()
    if url and not url.startswith(("http://", "https://")):
        raise SettingError("ORDINAUT_LLM_URL: must begin with http:// or https://")
    key = str(getattr(settings, "ORDINAUT_LLM_KEY", "") or "").strip()
    return LlmEndpoint(url, key, str(getattr(settings, "ORDINAUT_LLM_MODEL", "") or "").strip())


def calendar_dir() -> Path | None:
    """The one folder that calendar files are read from; None where no file may be read."""
    text = str(getattr(settings, "ORDINAUT_CALENDAR_DIR", "") or "")
    return Path(text) if text else None


def simulated_tools() -> Mapping[str, Any]:
    """The example output of each tool that is declared and not installed, by name.

    `ORDINAUT_SIMULATED_TOOLS` holds that JSON object itself, or the path of a file that does.
    """
    text = str(getattr(settings, "ORDINAUT_SIMULATED_TOOLS", "") or "").strip()
    if not text:
        return {}
    try:
        declared = orjson.loads(text if text.startswith("{") else Path(text).read_bytes())
    except OSError as error:
        raise SettingError(f"ORDINAUT_SIMULATED_TOOLS: cannot read the file ({error.strerror})") from None
    except orjson.JSONDecodeError as error:
        raise SettingError(f"ORDINAUT_SIMULATED_TOOLS: not JSON ({error})") from None
    if not isinstance(declared, dict):
        raise SettingError("ORDINAUT_SIMULATED_TOOLS: must be a JSON object of tool name to example output")
    return declared


def isolated_processes() -> int | None:
    """How many isolated tool calls one worker process runs at a time; None: as many as it has slots, so that no run
    waits for the tools of others while its time goes on."""
    return _whole_number("ORDINAUT_ISOLATED_PROCESSES", 0, minimum=0) or None


def isolated_memory() -> int | None:
    """Bytes of address space that one isolated tool process may map; None for no limit."""
    mebibytes = _whole_number("ORDINAUT_ISOLATED_MEMORY_MB", 0, minimum=0)
    return mebibytes * _MEBIBYTE or None


def isolated_max_calls() -> int:
    """How many calls an isolated tool process serves before it is replaced; 0 for any number."""
    return _whole_number("ORDINAUT_ISOLATED_MAX_CALLS", 0, minimum=0)


def isolated_max_memory() -> int:
    """Bytes of resident memory above which an isolated tool process is replaced after its call; 0 for no limit."""
    return _whole_number("ORDINAUT_ISOLATED_MAX_MEMORY", 0, minimum=0) * _MEBIBYTE


def tool_environment() -> list[str]:
    """Names of environment variables that isolated tools may see, beside the few that every program needs."""
    names = getattr(settings, "ORDINAUT_TOOL_ENVIRONMENT", ())
    if isinstance(names, str) or not all(isinstance(name, str) and name for name in names):
        raise SettingError("ORDINAUT_TOOL_ENVIRONMENT: must be a list of names")
    return list(names)


def mcp_commands() -> frozenset[str]:
    """The programs that may be started as tool servers on this host, each as a command names it; none where it is
    empty. A server's command is code that an operator lets this host run."""
    programs = getattr(settings, "ORDINAUT_MCP_COMMANDS", ())
    if isinstance(programs, str) or not all(isinstance(program, str) and program for program in programs):
        raise SettingError("ORDINAUT_MCP_COMMANDS: must be a list of programs")
    return frozenset(programs)


def mcp_tokens() -> BearerTokens:
    """What `ORDINAUT_MCP_TOKENS` says: entries `host=token` or `host:port=token`."""
    try:
        return BearerTokens.parse(getattr(settings, "ORDINAUT_MCP_TOKENS", ()))
    except ValueError as error:
        raise SettingError(f"ORDINAUT_MCP_TOKENS: {error}") from None


def settings_of_isolated_tools() -> dict[str, Any]:
    """The settings that an isolated tool process is given, as JSON: what tools need and no secret of the worker."""
    folder = calendar_dir()
    return {
        "ORDINAUT_HTTP_ALLOW": list(getattr(settings, "ORDINAUT_HTTP_ALLOW", ())),
        "ORDINAUT_CALENDAR_DIR": str(folder.resolve()) if folder else "",
    }


def _whole_number(name: str, default: int, *, minimum: int) -> int:
    number = getattr(settings, name, default)
    if isinstance(number, bool) or not isinstance(number, int) or number < minimum:
        raise SettingError(f"{name}: must be a whole number of at least {minimum}")
    return number
