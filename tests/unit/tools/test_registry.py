from importlib.metadata import EntryPoint
from types import SimpleNamespace

import orjson
import pytest

from pipelines import checks, conf
from pipelines.tools import registry
from pipelines.tools.base import ToolSpec
from pipelines.tools.json_schema import first_breach

BUILT_IN = [
    "calendar.list_events",
    "email.send",
    "event.publish",
    "http.request",
    "llm.chat",
    "log.write",
    "task.run",
    "webhook.send",
]


@pytest.fixture(autouse=True)
def fresh_catalog():
    registry.reset()
    yield
    registry.reset()


def point(value: str) -> EntryPoint:
    return EntryPoint(name="any", value=value, group=registry.GROUP)


LOG = point("pipelines.tools.log_write:log_write")


def test_the_built_in_tools_are_installed():
    assert set(BUILT_IN) <= set(registry.catalog().names())
    assert registry.catalog().problems == ()
    assert registry.catalog() is registry.catalog()


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_built_in_tool_has_what_the_catalog_promises(name):
    spec = registry.catalog().get(name)

    assert isinstance(spec, ToolSpec)
    assert spec.is_installed
    assert spec.description
    assert spec.simulate is not None
    assert spec.entry_point is not None
    assert spec.examples
    for example in spec.examples:
        assert first_breach(spec.input_schema, example["input"]) is None
        assert first_breach(spec.output_schema, example["output"]) is None


@pytest.mark.parametrize(
    "value",
    ["no.such.module:tool", "pipelines.tools.log_write:missing", "pipelines.tools.log_write:INPUT_SCHEMA"],
)
def test_a_tool_that_cannot_be_loaded_is_named_and_breaks_no_other(value, caplog):
    catalog = registry.read_catalog([point(value), LOG])

    assert catalog.names() == ["log.write"]
    assert [problem.source for problem in catalog.problems] == [value]
    assert value in caplog.text


@pytest.mark.parametrize(
    "changes",
    [{"name": "no spaces please"}, {"input_schema": {"type": "objekt"}}, {"output_schema": {"$ref": "http://a/b"}}],
)
def test_a_tool_with_a_bad_name_or_schema_is_left_out(monkeypatch, changes):
    spec = ToolSpec(**{"name": "a.b", "description": "", "input_schema": {}, "output_schema": {}} | changes)
    monkeypatch.setattr(EntryPoint, "load", lambda self: spec)

    assert registry.read_catalog([point("somewhere:tool")]).names() == []


def test_a_built_in_tool_keeps_its_name_against_a_stranger(monkeypatch):
    load = EntryPoint.load
    monkeypatch.setattr(EntryPoint, "load", lambda self: load(LOG) if self.value == "a.stranger:tool" else load(self))

    catalog = registry.read_catalog([point("a.stranger:tool"), LOG])

    spec = catalog.get("log.write")
    assert spec is not None
    assert spec.entry_point == LOG.value
    assert [problem.source for problem in catalog.problems] == ["a.stranger:tool"]


@pytest.mark.parametrize("as_file", [False, True])
def test_declared_tools_are_known_and_not_installed(settings, tmp_path, as_file):
    declared = orjson.dumps({"telegram.send_message": {"ok": True}, "weather-api.get_forecast": None})
    (tmp_path / "tools.json").write_bytes(declared)
    settings.ORDINAUT_SIMULATED_TOOLS = str(tmp_path / "tools.json") if as_file else declared.decode()

    spec = registry.catalog().get("telegram.send_message")

    assert spec is not None
    assert not spec.is_installed
    assert spec.examples[0]["output"] == {"ok": True}
    assert "weather-api.get_forecast" in registry.catalog().names()


def test_an_installed_tool_is_not_simulated_by_a_declaration(settings):
    settings.ORDINAUT_SIMULATED_TOOLS = '{"log.write": {}}'

    spec = registry.catalog().get("log.write")

    assert spec is not None
    assert spec.is_installed
    assert [warning.id for warning in checks.check_tools()] == ["pipelines.W002"]


def test_a_broken_declaration_leaves_the_installed_tools(settings):
    settings.ORDINAUT_SIMULATED_TOOLS = "{"

    assert set(BUILT_IN) <= set(registry.catalog().names())


@pytest.mark.parametrize(
    ("name", "value", "check_id"),
    [
        ("ORDINAUT_HTTP_ALLOW", ["localhost"], "pipelines.E001"),
        ("ORDINAUT_LLM_URL", "api.openai.com", "pipelines.E009"),
        ("ORDINAUT_SIMULATED_TOOLS", "{", "pipelines.E002"),
        ("ORDINAUT_SIMULATED_TOOLS", "/no/such/file.json", "pipelines.E002"),
        ("ORDINAUT_SIMULATED_TOOLS", "/", "pipelines.E002"),
        ("ORDINAUT_ISOLATED_PROCESSES", -1, "pipelines.E003"),
        ("ORDINAUT_ISOLATED_MEMORY_MB", "much", "pipelines.E004"),
        ("ORDINAUT_TOOL_ENVIRONMENT", "PATH", "pipelines.E005"),
        ("ORDINAUT_ENCRYPTION_KEYS", ["too short"], "pipelines.E011"),
        ("ORDINAUT_MCP_COMMANDS", "npx", "pipelines.E012"),
        ("ORDINAUT_MCP_TOKENS", ["no token"], "pipelines.E013"),
        ("ORDINAUT_CALENDAR_DIR", "/no/such/folder", "pipelines.W001"),
    ],
)
def test_a_setting_of_the_wrong_form_is_a_system_check(settings, name, value, check_id):
    assert checks.check_settings() == []

    setattr(settings, name, value)

    (message,) = checks.check_settings()
    assert message.id == check_id
    assert name in message.msg


def test_a_list_in_a_declaration_file_is_refused(settings, tmp_path):
    (tmp_path / "tools.json").write_text("[]")
    settings.ORDINAUT_SIMULATED_TOOLS = str(tmp_path / "tools.json")

    with pytest.raises(conf.SettingError, match="JSON object"):
        conf.simulated_tools()


def test_the_limits_of_isolation_come_from_settings(settings):
    settings.ORDINAUT_ISOLATED_PROCESSES = 7
    settings.ORDINAUT_ISOLATED_MEMORY_MB = 512

    assert conf.isolated_processes() == 7
    assert conf.isolated_memory() == 512 * 1024 * 1024


def test_an_isolated_process_is_given_no_secret(settings):
    settings.SECRET_KEY = "hunter2"

    assert "hunter2" not in str(conf.settings_of_isolated_tools())
    assert SimpleNamespace(**conf.settings_of_isolated_tools()).ORDINAUT_HTTP_ALLOW == []
