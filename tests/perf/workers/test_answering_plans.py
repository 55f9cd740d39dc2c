"""Turns at answering over many runs that wait and many events: what they read is what they need."""

from typing import Any

import orjson
import pytest
from django.db import connection
from django.db.models import QuerySet

from scheduling.core.topics import patterns_of
from scheduling.events.models import Event
from scheduling.instants import database_moment
from tests.factories import RunFactory
from tests.perf.workers.test_plans import nodes
from workers.answering import children, events, turns
from workers.answering.answers import OPEN
from workers.models import Question

pytestmark = pytest.mark.django_db(transaction=True)

ROWS = 50_000
_ASK = """
INSERT INTO workers_question (id, run_id, path, attempt, kind, until, asks, topic, is_pending)
SELECT gen_random_uuid(), %s, 'wait' || n, 1, CASE WHEN n %% 10 = 0 THEN 'run' ELSE 'event' END,
    now() + interval '1 day', %s, CASE WHEN n %% 10 = 0 THEN '' ELSE 'topic.' || n END, false
FROM generate_series(1, %s) AS n
"""
_TELL = """
INSERT INTO scheduling_event (id, topic, payload, depth, is_unheard, is_unmatched, created_at)
SELECT gen_random_uuid(), 'topic.' || n, '{}', 0, false, false, now() FROM generate_series(1, %s) AS n
"""


@pytest.fixture(autouse=True)
def many(transactional_db: None) -> None:
    asks = orjson.dumps({"topic": "t", "filter": None, "names": {}, "buffered": 0})
    with connection.cursor() as cursor:
        cursor.execute(_ASK, [RunFactory().pk, asks, ROWS])
        cursor.execute(_TELL, [ROWS])
        cursor.execute("ANALYZE workers_question, scheduling_event, scheduling_run")


def read_by(rows: QuerySet[Any]) -> int:
    """Blocks that the query reads, whatever its plan."""
    sql, parameters = rows.query.sql_with_params()
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}", parameters)
        (plan,) = cursor.fetchone()[0]
    assert not [node for node in nodes(plan["Plan"]) if node["Node Type"] == "Seq Scan" and node["Actual Rows"] > 100]
    return int(plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"])


def test_the_look_reads_the_beginnings_of_indexes() -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {turns._LOOK}")
        (plan,) = cursor.fetchone()[0]

    assert plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"] < 60


def test_who_waits_for_a_topic_is_found_by_its_patterns() -> None:
    waiting = Question.objects.filter(OPEN, kind="event", topic__in=patterns_of("topic.7"))

    assert read_by(waiting.select_related("run").order_by("pk")[: events.PAGE]) < 200
    assert [question.topic for question in waiting] == ["topic.7"]


def test_whose_time_is_over_is_found_by_its_index() -> None:
    assert events.expired(database_moment()) == []
    over = Question.objects.filter(OPEN, kind="event", until__lte=database_moment(), is_pending=False)

    assert read_by(over.order_by("until")[: events.PAGE]) < 60


def test_a_turn_with_one_event_among_many_waiting_runs_is_short() -> None:
    Event.objects.filter(topic="topic.13").update(is_unmatched=True)

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_force_next_flush()")
    turn = turns.take_turn(events.Progress())

    assert not Event.objects.filter(is_unmatched=True).exists()
    assert not turn.is_more
    assert children.are_waited_for()
