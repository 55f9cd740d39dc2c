"""Tool servers in the console: seen by all, managed by admins, commands included."""

import sys
from typing import Any

import pytest
from django.test import Client

from pipelines.models import ToolServer
from scheduling.audit.models import AuditEntry
from tests.db.servers.conftest import fresh_catalog as fresh_catalog
from tests.db.servers.support import URL, listed, registered
from tests.tool_servers import STDIO

pytestmark = pytest.mark.django_db

LIST = "/admin/pipelines/toolserver/"
ADD = f"{LIST}add/"


def errors_of(answer: Any) -> dict[str, list[str]]:
    return {name: list(found) for name, found in answer.context["adminform"].form.errors.items()}


def test_a_command_is_registered_read_and_disabled(admin: Client, settings):
    settings.ORDINAUT_MCP_COMMANDS = [sys.executable]

    admin.post(ADD, {"name": "test", "url": "", "command": "\r\n".join(STDIO), "is_enabled": "on"})
    server = ToolServer.objects.get()
    said = admin.post(f"{LIST}{server.pk}/do/refresh/", follow=True).content.decode()
    admin.post(f"{LIST}{server.pk}/do/disable/")

    server.refresh_from_db()
    assert (server.command, server.is_enabled) == (list(STDIO), False)
    assert "The tools of test are read" in said
    assert "mcp:test/add" in said
    assert list(AuditEntry.objects.order_by("id").values_list("actor_kind", "action")) == [
        ("operator", "tool_server.create"),
        ("operator", "tool_server.refresh"),
        ("operator", "tool_server.update"),
    ]


def test_what_is_wrong_is_told_on_its_field(admin: Client):
    taken = registered()

    assert "command" in errors_of(admin.post(ADD, {"name": "a", "command": "rm", "is_enabled": "on"}))
    assert "url" in errors_of(admin.post(ADD, {"name": "a", "is_enabled": "on"}))
    assert "name" in errors_of(admin.post(ADD, {"name": taken.name, "url": URL, "is_enabled": "on"}))
    assert ToolServer.objects.count() == 1


def test_saving_a_server_as_it_is_changes_nothing_also_where_its_command_is_not_allowed(admin: Client, settings):
    settings.ORDINAUT_MCP_COMMANDS = ["npx"]
    server = registered(url="", command=["npx", "files"])
    settings.ORDINAUT_MCP_COMMANDS = []
    entries = AuditEntry.objects.count()
    address = f"{LIST}{server.pk}/change/"
    form = admin.get(address).context["adminform"].form

    answer = admin.post(address, {name: form[name].value() or "" for name in form.fields})

    assert answer.status_code == 302
    assert AuditEntry.objects.count() == entries


def test_a_failure_is_a_message_and_stays_on_the_page(admin: Client):
    server = registered(url="http://127.0.0.1:9/")

    said = admin.post(f"{LIST}{server.pk}/do/refresh/", follow=True).content.decode()

    assert "loopback" in said
    assert "It could not be read" in said


def test_what_a_server_says_is_text(viewer: Client):
    server = registered(listed("read", description="<b>bold</b>"), listed("<i>x</i>"))

    for address in (f"{LIST}{server.pk}/change/", f"{LIST}catalog/"):
        page = viewer.get(address).content.decode()
        assert "<b>bold" not in page
        assert "<i>x" not in page
        assert "mcp:files/read" in page


def test_who_may_only_look_changes_nothing(author: Client):
    server = registered()

    assert author.get(f"{LIST}{server.pk}/change/").status_code == 200
    assert author.get(ADD).status_code == 403
    for deed in ("refresh", "enable", "disable", "delete"):
        assert author.post(f"{LIST}{server.pk}/do/{deed}/").status_code == 403
    assert ToolServer.objects.exists()


def test_a_server_is_deleted_by_its_button(admin: Client):
    server = registered(listed("read"))

    admin.post(f"{LIST}{server.pk}/do/delete/")

    assert not ToolServer.objects.exists()
    assert AuditEntry.objects.filter(action="tool_server.delete").exists()
