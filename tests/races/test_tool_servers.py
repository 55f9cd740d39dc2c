"""Tool servers that several operators register, read and change at once, each on a connection of its own."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection

from pipelines.models import ToolServer, ToolServerTool
from pipelines.servers import operations
from pipelines.servers.offers import VERSIONS, current_catalog, forget, host_catalog, look_again
from scheduling.errors import KeyTaken
from tests.db.servers.conftest import fresh_catalog as fresh_catalog
from tests.db.servers.support import ACTOR, URL, listed, registered, relisted

pytestmark = pytest.mark.django_db(transaction=True)


def side_by_side(work: Any, times: int) -> list[Any]:
    """What each gives or raises, each in a thread with a connection of its own."""

    def one(number: int) -> Any:
        try:
            return work(number)
        except Exception as error:  # noqa: BLE001 - it is what is looked at
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(times) as threads:
        return list(threads.map(one, range(times)))


def test_of_several_who_register_a_name_one_does():
    def create(_number: int) -> ToolServer:
        return operations.create_server(actor=ACTOR, definition={"name": "files", "url": URL})

    answers = side_by_side(create, 6)

    assert [type(answer) for answer in answers if isinstance(answer, Exception)] == [KeyTaken] * 5
    assert ToolServer.objects.count() == 1


def test_of_several_who_read_its_tools_each_leaves_all_of_them():
    server = registered()
    offered = [listed(name) for name in ("read", "write", "list")]

    answers = side_by_side(lambda _number: relisted(server, *offered), 6)

    assert [answer for answer in answers if isinstance(answer, Exception)] == []
    assert sorted(ToolServerTool.objects.values_list("name", flat=True)) == ["list", "read", "write"]


def test_a_change_between_the_look_and_the_reading_is_seen_at_the_next_look(monkeypatch):
    server = registered(listed("read"))
    from pipelines.servers import offers

    rows = offers._rows

    def rows_with_a_change_after(query: str) -> list[Any]:
        found = rows(query)
        if query == VERSIONS:
            (done,) = side_by_side(lambda _number: relisted(server, listed("write")), 1)
            assert not isinstance(done, Exception)
        return found

    with monkeypatch.context() as patched:
        patched.setattr(offers, "_rows", rows_with_a_change_after)
        look_again(host_catalog())
    forget()

    known = host_catalog().generation
    assert current_catalog().get("mcp:files/write") is not None
    assert current_catalog().generation == known + 1
