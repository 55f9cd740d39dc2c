"""The four previews are one: the command, the rule's endpoint, the schedule's endpoint and the console say the same."""

import io
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client

from scheduling.agents.models import Agent
from scheduling.agents.roles import Role, assign
from scheduling.schedules import admin
from tests.db.api.gateway import assert_problem
from tests.factories import CalendarFactory, OperatorFactory, ScheduleFactory, TaskFactory

BERLIN = "Europe/Berlin"
RULES: dict[str, dict[str, Any]] = {
    "gap shifted": {
        "kind": "rrule",
        "expression": "FREQ=DAILY;BYHOUR=2;BYMINUTE=30",
        "timezone": BERLIN,
        "starts_at": "2025-01-01T00:00:00",
        "after": "2025-03-28T12:00:00Z",
    },
    "gap next by cron": {
        "kind": "cron",
        "expression": "30 2 * * *",
        "timezone": BERLIN,
        "starts_at": "2025-01-01T00:00:00",
        "after": "2025-03-28T12:00:00Z",
    },
    "fold both, and one left out": {
        "kind": "rrule",
        "expression": "FREQ=DAILY;BYHOUR=2;BYMINUTE=30",
        "timezone": BERLIN,
        "starts_at": "2025-01-01T00:00:00",
        "after": "2025-10-24T12:00:00Z",
        "exdates": ["2025-10-27T02:30:00"],
        "rdates": ["2025-10-25T14:00:00", "2025-10-26T14:00:00"],
        "fold": "both",
    },
    "half an hour at Lord Howe": {
        "kind": "rrule",
        "expression": "FREQ=HOURLY\nFREQ=DAILY;BYHOUR=2;BYMINUTE=10",
        "timezone": "Australia/Lord_Howe",
        "starts_at": "2025-01-01T00:00:00",
        "after": "2025-10-04T14:00:00Z",
        "gap": "skip",
    },
    "ends among those shown": {
        "kind": "cron",
        "expression": "0 8 * * *",
        "timezone": "America/Havana",
        "starts_at": "2025-01-01T00:00:00",
        "ends_at": "2025-03-10T13:00:00Z",
        "after": "2025-03-08T00:00:00Z",
    },
    "has ended": {
        "kind": "rrule",
        "expression": "FREQ=DAILY;COUNT=3",
        "timezone": "UTC",
        "starts_at": "2025-01-01T00:00:00",
        "after": "2025-03-08T00:00:00Z",
    },
    "interval through a change": {
        "kind": "interval",
        "expression": "PT90M",
        "timezone": "Africa/Cairo",
        "starts_at": "2025-04-24T00:00:00",
        "after": "2025-04-24T20:00:00Z",
    },
}
COUNT = 10


@pytest.mark.django_db
@pytest.mark.parametrize("line", RULES.values(), ids=RULES)
def test_the_four_previews_say_the_same(api, monkeypatch, line):
    answer = api.post("schedules/preview", {**line, "count": COUNT}).json()
    assert answer["next"] or answer["notes"]

    assert stored(api, line) == answer
    assert commanded(line) == answer
    shown = in_console(monkeypatch, line)
    assert (shown.sentence, shown.notes) == (answer["sentence"], answer["notes"])
    assert [fire.utc.replace(" UTC", "Z").replace(" ", "T") for fire in shown.fires] == [
        each["utc"] for each in answer["next"]
    ]


@pytest.mark.django_db
def test_a_stored_schedule_reads_a_local_time_in_its_own_zone(api):
    schedule = ScheduleFactory(task=TaskFactory(agent=api.agent), expression="0 8 * * *", timezone="Asia/Kolkata")

    answer = api.get(f"schedules/{schedule.pk}/preview?after=2026-06-01T07:59:00&count=1").json()

    assert answer["next"][0]["local"] == "2026-06-01T08:00:00+05:30"


@pytest.mark.django_db
def test_a_stored_schedule_is_asked_for_what_comes_after_a_time_of_the_gap(api):
    schedule = ScheduleFactory(task=TaskFactory(agent=api.agent), expression="30 2 * * *", timezone="Europe/Berlin")

    answer = api.get(f"schedules/{schedule.pk}/preview?after=2090-03-26T02:15:00&count=1").json()

    assert answer["next"][0]["local"] == "2090-03-26T03:00:00+02:00"


@pytest.mark.django_db
def test_a_rule_is_previewed_with_calendars_that_it_names(api):
    CalendarFactory(agent=api.agent, key="holidays", days=[date(2090, 1, 3)])
    CalendarFactory(key="of-another", days=[date(2090, 1, 2)])
    line = {"kind": "cron", "expression": "0 8 * * *", "timezone": "UTC", "starts_at": "2090-01-02T00:00:00"}

    answer = api.post("schedules/preview", {**line, "calendars": ["holidays"], "count": 2}).json()
    refused = api.post("schedules/preview", {**line, "calendars": ["holidays", "of-another"]})
    malformed = api.post("schedules/preview", {**line, "calendars": "holidays"})

    assert [each["utc"] for each in answer["next"]] == ["2090-01-02T08:00:00Z", "2090-01-04T08:00:00Z"]
    assert any("holidays" in note for note in answer["notes"])
    assert [(each["pointer"], each["code"]) for each in refused.json()["errors"]] == [
        ("/calendars/1", "unknown_calendar")
    ]
    assert (refused.status_code, malformed.status_code) == (422, 422)


@pytest.mark.django_db
def test_a_rule_that_the_agents_limit_would_refuse_is_previewed_with_a_note(api):
    Agent.objects.filter(pk=api.agent.pk).update(minimum_interval=timedelta(hours=1))
    line = {"kind": "interval", "expression": "PT10M", "timezone": "UTC"}

    answer = api.post("schedules/preview", line).json()

    assert answer["notes"][-1].startswith("It would be refused: Two occurrences lie PT10M apart")
    assert len(answer["next"]) == 5


def stored(api: Any, line: dict[str, Any]) -> Any:
    """What the endpoint of a schedule with this rule answers."""
    moments = {name: datetime.fromisoformat(line[name]) for name in ("starts_at", "ends_at") if name in line}
    dates = {name: [datetime.fromisoformat(each) for each in line.get(name, [])] for name in ("exdates", "rdates")}
    texts = {name: line.get(name, "") for name in ("kind", "expression", "timezone", "gap", "fold")}
    schedule = ScheduleFactory(task=TaskFactory(agent=api.agent), **texts, **dates, **moments)
    return api.get(f"schedules/{schedule.pk}/preview?after={line['after']}&count={COUNT}").json()


def commanded(line: dict[str, Any]) -> Any:
    """What `previewschedule` prints, read back."""
    arguments = ["--count", str(COUNT)]
    for name, value in line.items():
        for each in value if isinstance(value, list) else [value]:
            arguments += [f"--{name.removesuffix('s') if name.endswith('dates') else name.replace('_', '-')}", each]
    written = io.StringIO()
    call_command("previewschedule", *arguments, stdout=written)
    sentence, *rest = written.getvalue().splitlines()
    occurrences = [text.split() for text in rest if not text.startswith("Note: ")]
    return {
        "next": [{"local": local, "utc": utc} for local, utc in occurrences],
        "sentence": sentence,
        "notes": [text.removeprefix("Note: ") for text in rest if text.startswith("Note: ")],
    }


def in_console(monkeypatch: pytest.MonkeyPatch, line: dict[str, Any]) -> Any:
    """What the console shows while such a rule is written, at the instant `after`."""
    monkeypatch.setattr(admin, "database_now", lambda: datetime.fromisoformat(line["after"]).astimezone(UTC))
    operator = OperatorFactory()
    assign(operator, Role.VIEWER)
    client = Client()
    client.force_login(operator)
    form = {name: "\n".join(value) if isinstance(value, list) else value for name, value in line.items()}
    return client.post("/admin/scheduling/schedule/preview/", form).context["forecast"]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("fields", "pointer", "code"),
    [
        (
            {"kind": "once", "expression": "2090-12-27T18:00:00Z", "ends_at": "2090-01-01T00:00:00Z"},
            "/ends_at",
            "ends_before_it_starts",
        ),
        (
            {"expression": "0 9 * * *", "starts_at": "2090-01-01T10:00:00", "ends_at": "2090-01-01T11:00:00"},
            "/ends_at",
            "never_occurs",
        ),
        (
            {"kind": "rrule", "expression": "FREQ=DAILY;UNTIL=20900101", "starts_at": "2090-01-17T10:00:00"},
            "/expression",
            "never_occurs",
        ),
        (
            {
                "kind": "rrule",
                "expression": "FREQ=DAILY;COUNT=2",
                "starts_at": "2090-01-01T10:00:00",
                "calendars": ["holidays"],
            },
            "/calendars",
            "never_occurs",
        ),
    ],
)
def test_what_is_told_as_refused_is_refused_and_nothing_is_stored(api, fields, pointer, code):
    CalendarFactory(agent=api.agent, key="holidays", dates=[date(2090, 1, 1), date(2090, 1, 2)])
    task = TaskFactory(agent=api.agent)
    line = {"kind": "cron", **fields}

    problem = assert_problem(api.post(f"tasks/{task.pk}/schedules", line), 422, "not_valid")
    notes = api.post("schedules/preview", line).json()["notes"]

    assert [(each["pointer"], each["code"]) for each in problem["errors"]] == [(pointer, code)]
    assert notes[-1] == f"It would be refused: {problem['errors'][0]['detail']}"
    assert not task.schedules.exists()
