"""Forms save through operations: the same rules as the API, told on the field."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from scheduling.agents.roles import Role, role_of
from scheduling.audit.models import AuditEntry
from scheduling.audit.operations import Actor
from scheduling.models import Agent, Operator, Schedule, Task
from scheduling.schedules.operations import update_schedule
from tests.factories import AgentFactory, CalendarFactory, OperatorFactory, ScheduleFactory, TaskFactory

pytestmark = pytest.mark.django_db


def task_form(**changes: Any) -> dict[str, Any]:
    return {
        "key": "briefing",
        "title": "Briefing",
        "pipeline": '{"version": 1, "steps": [{"id": "note", "set": {"done": true}}]}',
        "params": "{}",
        "priority": "5",
        "queue": "default",
        "overlap": "allow",
        "retry": "{}",
        "labels": "{}",
        **changes,
    }


def schedule_form(**changes: Any) -> dict[str, Any]:
    return {
        "kind": "cron",
        "expression": "0 8 * * 1-5",
        "timezone": "Europe/Chisinau",
        "jitter": "PT0S",
        "misfire_policy": "last",
        "misfire_grace": "PT1M",
        "misfire_limit": "100",
        **changes,
    }


def errors_of(answer: Any) -> dict[str, list[str]]:
    return {name: list(found) for name, found in answer.context["adminform"].form.errors.items()}


def test_a_task_is_made_by_its_operation(author: Client):
    agent = AgentFactory()

    answer = author.post("/admin/scheduling/task/add/", task_form(agent=agent.pk, timeout="PT10M"))

    task = Task.objects.get()
    assert answer["Location"] == f"/admin/scheduling/task/{task.pk}/change/"
    assert task.current_revision is not None
    assert task.timeout is not None
    assert AuditEntry.objects.get(action="task.create").actor_kind == "operator"


def test_a_changed_pipeline_is_a_new_revision_and_the_same_one_is_none(author: Client):
    task = TaskFactory(key="briefing")
    edit = f"/admin/scheduling/task/{task.pk}/edit/"
    written = author.get(edit).context["adminform"].form["pipeline"].value()

    author.post(edit, task_form(pipeline=written))
    unchanged = task.revisions.count()
    author.post(edit, task_form(pipeline='{"version": 1, "steps": [{"id": "other", "set": {"done": false}}]}'))

    assert unchanged == 1
    assert task.revisions.count() == 2


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("key", {"key": "Not a key"}),
        ("priority", {"priority": "10"}),
        ("timeout", {"timeout": "ten minutes"}),
        ("params", {"params": "{"}),
        ("retry", {"retry": '{"max_attempts": 0}'}),
        ("concurrency_key", {"concurrency_key": "mail"}),
        ("dedupe_key", {"dedupe_key": "a", "dedupe_window": "never"}),
        ("queue", {"queue": "a queue"}),
    ],
)
def test_what_is_not_valid_is_told_on_its_field_and_nothing_is_stored(
    author: Client, field: str, changes: dict[str, Any]
):
    answer = author.post("/admin/scheduling/task/add/", task_form(agent=AgentFactory().pk, **changes))

    assert field in errors_of(answer)
    assert not Task.objects.exists()
    assert not AuditEntry.objects.exists()


def test_a_problem_of_the_pipeline_names_its_place(author: Client):
    bad = '{"version": 1, "steps": [{"id": "a", "uses": "no.such.tool"}]}'

    answer = author.post("/admin/scheduling/task/add/", task_form(agent=AgentFactory().pk, pipeline=bad))

    assert any("/steps" in words for words in errors_of(answer)["pipeline"])


def test_a_schedule_is_made_and_changed_by_its_operations(author: Client):
    task = TaskFactory()

    author.post("/admin/scheduling/schedule/add/", schedule_form(task=task.pk))
    schedule = Schedule.objects.get()
    first = schedule.next_fire_at
    author.post(f"/admin/scheduling/schedule/{schedule.pk}/change/", schedule_form(expression="30 17 * * 5"))
    schedule.refresh_from_db()

    assert schedule.expression == "30 17 * * 5"
    assert schedule.next_fire_at != first
    assert list(AuditEntry.objects.order_by("id").values_list("action", flat=True)) == [
        "schedule.create",
        "schedule.update",
    ]


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("expression", {"expression": "61 8 * * *"}),
        ("expression", {"expression": "0 0 30 2 *"}),
        ("timezone", {"timezone": "Mars/Olympus"}),
        ("starts_at", {"starts_at": "yesterday"}),
        ("jitter", {"jitter": "a bit"}),
        ("misfire_grace", {"misfire_grace": "a while"}),
    ],
)
def test_a_schedule_that_cannot_be_is_told_on_its_field(author: Client, field: str, changes: dict[str, Any]):
    answer = author.post("/admin/scheduling/schedule/add/", schedule_form(task=TaskFactory().pk, **changes))

    assert field in errors_of(answer)
    assert not Schedule.objects.exists()


def test_saving_a_schedule_as_it_is_changes_nothing(author: Client):
    schedule = ScheduleFactory()
    page = f"/admin/scheduling/schedule/{schedule.pk}/change/"
    form = author.get(page).context["adminform"].form
    as_it_is = {name: form[name].value() or "" for name in form.fields if name != "task"}

    author.post(page, as_it_is)

    assert Schedule.objects.get().version == schedule.version
    assert not AuditEntry.objects.exists()


def test_an_emptied_field_means_its_default(author: Client):
    schedule = ScheduleFactory(
        timezone="Asia/Tokyo",
        jitter=timedelta(seconds=30),
        misfire_grace=timedelta(hours=1),
        misfire_limit=7,
        misfire_window=timedelta(hours=2),
    )
    emptied = dict.fromkeys(("timezone", "jitter", "misfire_grace", "misfire_limit", "misfire_window"), "")

    author.post(f"/admin/scheduling/schedule/{schedule.pk}/change/", schedule_form(**emptied))

    schedule.refresh_from_db()
    assert (schedule.timezone, schedule.jitter, schedule.misfire_grace) == ("UTC", timedelta(0), timedelta(minutes=1))
    assert (schedule.misfire_limit, schedule.misfire_window) == (100, None)


@pytest.mark.parametrize(
    ("field", "value"), [("misfire_limit", "0"), ("misfire_limit", "many"), ("misfire_grace", "soon"), ("jitter", "0")]
)
def test_a_changed_field_that_is_not_valid_is_told_on_it(author: Client, field: str, value: str):
    schedule = ScheduleFactory(misfire_limit=7)

    answer = author.post(f"/admin/scheduling/schedule/{schedule.pk}/change/", schedule_form(**{field: value}))

    schedule.refresh_from_db()
    assert list(errors_of(answer)) == [field]
    assert schedule.misfire_limit == 7


def test_the_preview_says_the_rule_and_its_next_ten(viewer: Client):
    page = viewer.post(
        "/admin/scheduling/schedule/preview/",
        {"kind": "cron", "expression": "0 8 * * 1-5", "timezone": "Europe/Chisinau"},
    ).content.decode()

    assert "08:00 (Europe/Chisinau)" in page
    assert page.count("<tr>") == 11


@pytest.mark.parametrize("expression", ["0 0 30 2 *", "<script>", "x" * 2000])
def test_the_preview_of_what_cannot_be_says_why(viewer: Client, expression: str):
    answer = viewer.post("/admin/scheduling/schedule/preview/", {"kind": "cron", "expression": expression})

    assert answer.status_code == 200
    assert b"ord-error" in answer.content
    assert b"<script>" not in answer.content


def test_an_agent_is_made_by_its_operation(admin: Client):
    form = {"name": "helper", "scopes": ["tasks:read"], "max_tasks": "10", "requests_per_minute": "60"}

    admin.post("/admin/scheduling/agent/add/", form)
    taken = admin.post("/admin/scheduling/agent/add/", {**form, "name": "HELPER"})

    assert Agent.objects.get().scopes == ["tasks:read"]
    assert "name" in errors_of(taken)


def test_the_minimum_interval_of_an_agent_is_a_text_of_the_form(admin: Client):
    form = {"name": "helper", "scopes": ["tasks:read"], "max_tasks": "10", "requests_per_minute": "60"}
    admin.post("/admin/scheduling/agent/add/", {**form, "minimum_interval": "PT5M"})
    page = f"/admin/scheduling/agent/{Agent.objects.get().pk}/change/"

    shown = admin.get(page).context["adminform"].form["minimum_interval"].value()
    wrong = admin.post(page, {**form, "minimum_interval": "5 minutes"})
    admin.post(page, {**form, "minimum_interval": "PT1H"})

    assert shown == "PT5M"
    assert "minimum_interval" in errors_of(wrong)
    assert Agent.objects.get().minimum_interval == timedelta(hours=1)


def test_the_preview_takes_the_end_and_the_dates_of_the_form(viewer: Client):
    found = viewer.post(
        "/admin/scheduling/schedule/preview/",
        {
            "kind": "cron",
            "expression": "0 8 * * *\r\n0 9 * * 6",
            "timezone": "UTC",
            "starts_at": "2090-01-02T00:00:00",
            "ends_at": "2090-01-05T12:00:00Z",
            "exdates": "2090-01-03T08:00:00\r\n2090-01-04T08:00:00",
            "rdates": "2090-01-03T10:00:00",
        },
    ).context["forecast"]

    assert [fire.utc for fire in found.fires] == [
        "2090-01-02 08:00:00 UTC",
        "2090-01-03 10:00:00 UTC",
        "2090-01-05 08:00:00 UTC",
    ]
    assert found.notes[-1] == "The schedule ends with the last occurrence shown."


def test_the_preview_heeds_the_calendars_and_the_limits_of_the_tasks_agent(viewer: Client):
    task = TaskFactory(agent__minimum_interval=timedelta(hours=1))
    CalendarFactory(agent=task.agent, key="holidays", days=[date(2090, 1, 3)])
    form = {
        "task": str(task.pk),
        "kind": "cron",
        "expression": "*/30 8 * * *",
        "timezone": "UTC",
        "starts_at": "2090-01-02T00:00:00",
        "calendars": "holidays",
    }

    found = viewer.post("/admin/scheduling/schedule/preview/", form).context["forecast"]
    mistaken = viewer.post("/admin/scheduling/schedule/preview/", {**form, "calendars": "holidaus"})

    assert [fire.utc for fire in found.fires[:3]] == [
        "2090-01-02 08:00:00 UTC",
        "2090-01-02 08:30:00 UTC",
        "2090-01-04 08:00:00 UTC",
    ]
    assert any("holidays" in note for note in found.notes)
    assert found.notes[-1].startswith("It would be refused: Two occurrences lie PT30M apart")
    assert "holidays" in mistaken.context["forecast"].problem


def test_the_lines_of_a_text_area_are_stored_as_lines(author: Client):
    task = TaskFactory()

    author.post("/admin/scheduling/schedule/add/", schedule_form(task=task.pk, expression="0 8 * * 1-5\r\n0 10 * * 6"))

    assert Schedule.objects.get().expression == "0 8 * * 1-5\n0 10 * * 6"


def test_an_operator_gets_one_role_and_a_password_by_djangos_own_forms(admin: Client):
    form = {
        "username": "mira",
        "password1": "correct horse battery",
        "password2": "correct horse battery",
        "role": "author",
        "usable_password": "true",
    }

    admin.post("/admin/scheduling/operator/add/", form)
    made = Operator.objects.get(username="mira")
    weak = admin.post(
        "/admin/scheduling/operator/add/", {**form, "username": "other", "password1": "1", "password2": "1"}
    )

    assert role_of(made) is Role.AUTHOR
    assert made.check_password("correct horse battery")
    assert not made.is_superuser
    assert errors_of(weak)
    assert AuditEntry.objects.get(action="operator.create").object_label == "mira"


def test_a_changed_role_is_audited(admin: Client):
    operator = OperatorFactory()

    admin.post(
        f"/admin/scheduling/operator/{operator.pk}/change/",
        {"username": operator.username, "role": "operator", "is_active": "on"},
    )

    assert role_of(Operator.objects.get(pk=operator.pk)) is Role.OPERATOR
    assert AuditEntry.objects.get(action="operator.update").after["role"] == "operator"


def test_a_preview_without_an_anchor_counts_from_where_saving_would(viewer: Client):
    schedule = ScheduleFactory(kind="interval", expression="PT7H")
    created_at = datetime.now(UTC) - timedelta(days=2)
    Schedule.objects.filter(pk=schedule.pk).update(created_at=created_at)
    form = {"kind": "interval", "expression": "PT7H", "timezone": "UTC", "starts_at": "", "schedule": str(schedule.pk)}

    found = viewer.post("/admin/scheduling/schedule/preview/", form).context["forecast"]
    saved = update_schedule(actor=Actor.system("tests"), schedule=schedule, changes={"starts_at": None})

    assert saved.next_fire_at is not None
    assert found.fires[0].utc.startswith(f"{saved.next_fire_at:%Y-%m-%d %H:%M}")
