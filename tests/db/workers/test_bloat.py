"""Dead rows are counted, and who holds them is named."""

import psycopg
import pytest
from django.db import connection
from django.urls import reverse

from tests.db.api.gateway import gateway_of
from tests.factories import OperatorFactory
from tests.workers_support import database, run
from workers.bloat import Bloat, BloatWatch, Holder, Table, read_bloat
from workers.connection import conninfo

pytestmark = pytest.mark.django_db(transaction=True)

HOLDER = Holder("transaction", "pid 7", "report", 3700.4, "idle in transaction", "SELECT 1")


def test_the_oldest_snapshot_is_named_with_what_it_said():
    with psycopg.connect(conninfo(), application_name="forgotten report") as held:
        held.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        held.execute("SELECT count(*)\n  FROM scheduling_run")
        with connection.cursor() as cursor:  # a younger transaction id than the snapshot's
            cursor.execute("SELECT txid_current()")

        holder = read_bloat().holder

        assert holder is not None
        assert (holder.kind, holder.application, holder.state) == (
            "transaction",
            "forgotten report",
            "idle in transaction",
        )
        assert holder.name == f"pid {held.info.backend_pid}"
        assert holder.query == "SELECT count(*) FROM scheduling_run"
        assert holder.seconds is not None
        assert holder.seconds >= 0


@pytest.mark.parametrize("may_read_all", [False, True])
def test_a_session_of_another_role_is_named_too(may_read_all):
    """What it says is for roles that may read all statistics; that it holds a snapshot everybody sees."""
    with connection.cursor() as cursor, psycopg.connect(conninfo(), application_name="forgotten report") as held:
        pid = held.info.backend_pid
        role = f"reader_{pid}"
        held.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        held.execute("SELECT count(*) FROM scheduling_run")
        cursor.execute("SELECT txid_current()")
        cursor.execute(f"CREATE ROLE {role}")
        try:
            if may_read_all:
                cursor.execute(f"GRANT pg_read_all_stats TO {role}")
            cursor.execute(f"SET ROLE {role}")
            holder = read_bloat().holder
        finally:
            cursor.execute("RESET ROLE")
            cursor.execute(f"DROP ROLE {role}")

    assert holder is not None
    assert (holder.name, holder.application) == (f"pid {pid}", "forgotten report")
    if may_read_all:
        assert (holder.state, holder.query) == ("idle in transaction", "SELECT count(*) FROM scheduling_run")
        assert holder.seconds is not None
    else:
        assert holder.words == (
            f"transaction {holder.name}, of forgotten report, "
            "session of another role (one with pg_read_all_stats sees more)"
        )


def test_the_hot_tables_are_counted():
    assert {table.name for table in read_bloat().tables} >= {"scheduling_duework", "scheduling_run", "workers_steprun"}


@pytest.mark.parametrize(
    ("live", "dead", "is_bloated"), [(0, 101, True), (0, 100, False), (1000, 399, False), (1000, 401, True)]
)
def test_a_table_is_bloated_above_the_setting_and_past_what_autovacuum_leaves(settings, live, dead, is_bloated):
    settings.ORDINAUT_DEAD_TUPLES_WARNING = 100

    assert Table("scheduling_run", live, dead).is_bloated is is_bloated


def test_the_warning_names_table_and_holder():
    bloat = Bloat((Table("scheduling_duework", 5, 2_000_000),), HOLDER)

    assert bloat.warning == (
        "scheduling_duework (2,000,000 dead rows): VACUUM may be kept from them by transaction pid 7, of report, "
        "open for 3700 s, idle in transaction, last said: SELECT 1."
    )
    assert Bloat((Table("scheduling_duework", 5, 2_000_000),), None).warning.endswith("autovacuum is behind, or off.")
    assert Bloat((Table("scheduling_duework", 5, 5),), HOLDER).warning == ""


def test_a_host_says_it_once_and_once_that_it_is_over(caplog):
    watch, bad = BloatWatch(), Bloat((Table("scheduling_duework", 5, 2_000_000),), HOLDER)
    for bloat in (bad, bad, Bloat((), None), Bloat((), None)):
        watch.note(bloat)

    assert caplog.text.count("tables.bloated") == 1
    assert caplog.text.count("tables.are_clean_again") == 1


def test_a_host_looks_over_its_own_connection():
    watch = BloatWatch()

    async def look():
        async with database("bloat") as opened:
            await watch.look(opened)

    run(look())

    assert watch.latest is not None
    assert watch.latest.tables


def test_the_api_and_the_dashboard_tell(settings, client, monkeypatch):
    bad = Bloat((Table("scheduling_duework", 5, 2_000_000),), HOLDER)
    monkeypatch.setattr("workers.api.read_bloat", lambda: bad)
    monkeypatch.setattr("ordinaut_project.console.dashboard.read_warning", lambda: bad.warning)
    client.force_login(OperatorFactory(admin=True))

    answer = gateway_of("workers:read").get("system")
    page = client.get(reverse("admin:index")).content.decode()

    assert answer.status_code == 200
    assert answer.json()["oldest_snapshot"]["name"] == "pid 7"
    assert answer.json()["tables"] == [{"name": "scheduling_duework", "live": 5, "dead": 2_000_000, "is_bloated": True}]
    assert "Dead rows pile up." in page
    assert "transaction pid 7" in page
