"""Who may see and do what, tried address by address."""

import itertools
from collections.abc import Callable

import pytest
from django.contrib.auth.models import Group, Permission
from django.test import Client
from django.urls import reverse

from pipelines.models import ToolServer
from scheduling.agents.roles import Role, assign, permissions_of, role_of
from scheduling.audit.models import AuditEntry
from scheduling.models import Operator
from tests.factories import (
    AgentFactory,
    AgentTokenFactory,
    BackfillFactory,
    BulkOperationFactory,
    CalendarFactory,
    DueWorkFactory,
    OperatorFactory,
    RunFactory,
    ScheduleFactory,
    TaskFactory,
    WorkerFactory,
)

pytestmark = pytest.mark.django_db

SEEN_BY_ALL_ROLES = [
    "/admin/",
    "/admin/scheduling/task/",
    "/admin/scheduling/schedule/",
    "/admin/scheduling/backfill/",
    "/admin/scheduling/bulkoperation/",
    "/admin/scheduling/calendar/",
    "/admin/scheduling/run/",
    "/admin/scheduling/run/dead-letters/",
    "/admin/scheduling/event/",
    "/admin/scheduling/auditentry/",
    "/admin/scheduling/agent/",
    "/admin/scheduling/duework/",
    "/admin/pipelines/toolserver/",
    "/admin/pipelines/toolserver/catalog/",
    "/admin/pipelines/toolservertool/",
    "/admin/pipelines/secret/",
    "/admin/scheduling/queue/",
    "/admin/workers/worker/",
    "/admin/workers/steprun/",
]
SEEN_BY_ADMINS = [
    "/admin/scheduling/operator/",
    "/admin/scheduling/agenttoken/",
    "/admin/scheduling/idempotencyrecord/",
    "/admin/scheduling/agent/add/",
    "/admin/pipelines/toolserver/add/",
]
WRITTEN_BY_AUTHORS = [
    "/admin/scheduling/task/add/",
    "/admin/scheduling/schedule/add/",
    "/admin/scheduling/calendar/add/",
]


def refused_server() -> ToolServer:
    """A tool server that nobody reaches: the guard refuses its address."""
    return ToolServer.objects.create(name="near", url="http://127.0.0.1:9/")


# Every deed: the object it is tried on, and the lowest role that may do it.
DEEDS: list[tuple[str, Callable[[], object], Role]] = [
    ("scheduling_task:run", TaskFactory, Role.OPERATOR),
    ("scheduling_task:simulate", TaskFactory, Role.OPERATOR),
    ("scheduling_task:pause", TaskFactory, Role.OPERATOR),
    ("scheduling_task:resume", TaskFactory, Role.OPERATOR),
    ("scheduling_task:archive", TaskFactory, Role.AUTHOR),
    ("scheduling_schedule:pause", ScheduleFactory, Role.OPERATOR),
    ("scheduling_schedule:resume", ScheduleFactory, Role.OPERATOR),
    ("scheduling_schedule:delete", ScheduleFactory, Role.AUTHOR),
    ("scheduling_backfill:cancel", BackfillFactory, Role.OPERATOR),
    ("scheduling_backfill:cancel-with-runs", BackfillFactory, Role.OPERATOR),
    ("scheduling_calendar:delete", CalendarFactory, Role.AUTHOR),
    ("scheduling_run:cancel", lambda: DueWorkFactory().run, Role.OPERATOR),
    ("scheduling_run:retry", lambda: RunFactory(dead=True), Role.OPERATOR),
    ("scheduling_run:snooze", lambda: DueWorkFactory().run, Role.OPERATOR),
    ("scheduling_bulkoperation:cancel", BulkOperationFactory, Role.OPERATOR),
    ("scheduling_run:again", lambda: RunFactory(dead=True), Role.OPERATOR),
    ("workers_worker:drain", WorkerFactory, Role.OPERATOR),
    ("workers_worker:drain-host", WorkerFactory, Role.OPERATOR),
    ("pipelines_toolserver:refresh", refused_server, Role.ADMIN),
    ("pipelines_toolserver:enable", refused_server, Role.ADMIN),
    ("pipelines_toolserver:disable", refused_server, Role.ADMIN),
    ("pipelines_toolserver:delete", refused_server, Role.ADMIN),
    ("scheduling_agent:disable", AgentFactory, Role.ADMIN),
    ("scheduling_agent:enable", AgentFactory, Role.ADMIN),
    ("scheduling_agenttoken:revoke", AgentTokenFactory, Role.ADMIN),
]
POSTS: list[tuple[str, Callable[[], object], Role]] = [
    ("scheduling_task_start", TaskFactory, Role.OPERATOR),
    ("scheduling_backfill_make", ScheduleFactory, Role.OPERATOR),
    ("scheduling_schedule_snooze", ScheduleFactory, Role.OPERATOR),
    ("scheduling_task_snooze", TaskFactory, Role.OPERATOR),
    ("scheduling_agent_issue", AgentFactory, Role.ADMIN),
    ("scheduling_agenttoken_rotate", AgentTokenFactory, Role.ADMIN),
]
ROLES = list(Role)


def at_least(role: Role, needed: Role) -> bool:
    return ROLES.index(role) >= ROLES.index(needed)


def test_each_role_holds_all_of_the_one_below():
    held = [permissions_of(role) for role in Role]

    assert all(lower < higher for lower, higher in itertools.pairwise(held))


@pytest.mark.parametrize("role", Role)
def test_the_group_of_a_role_holds_exactly_what_the_role_says(role: Role):
    granted = Permission.objects.filter(group=Group.objects.get(name=role.value)).select_related("content_type")

    assert {f"{each.content_type.app_label}.{each.codename}" for each in granted} == permissions_of(role)


def test_a_role_takes_the_place_of_the_one_before():
    operator = OperatorFactory(is_staff=False)

    assign(operator, Role.ADMIN)
    assign(operator, Role.VIEWER)

    assert role_of(Operator.objects.get(pk=operator.pk)) is Role.VIEWER
    assert operator.is_staff


@pytest.mark.parametrize("address", [*SEEN_BY_ALL_ROLES, *SEEN_BY_ADMINS, *WRITTEN_BY_AUTHORS])
def test_a_stranger_is_sent_to_the_log_in(client: Client, address: str):
    answer = client.get(address)

    assert answer.status_code == 302
    assert answer["Location"].startswith("/admin/login/")


@pytest.mark.parametrize("role", Role)
def test_every_role_sees_what_is_for_all(client_of: Callable[[Role], Client], role: Role):
    client = client_of(role)

    assert {address: client.get(address).status_code for address in SEEN_BY_ALL_ROLES} == dict.fromkeys(
        SEEN_BY_ALL_ROLES, 200
    )


@pytest.mark.parametrize("role", Role)
def test_forms_and_secret_lists_open_from_their_role_on(client_of: Callable[[Role], Client], role: Role):
    client = client_of(role)
    expected = {
        **dict.fromkeys(WRITTEN_BY_AUTHORS, 200 if at_least(role, Role.AUTHOR) else 403),
        **dict.fromkeys(SEEN_BY_ADMINS, 200 if role is Role.ADMIN else 403),
    }

    assert {address: client.get(address).status_code for address in expected} == expected


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize(("name", "make", "needed"), DEEDS, ids=[name for name, _, _ in DEEDS])
def test_a_deed_is_refused_below_its_role(client_of, role: Role, name: str, make, needed: Role):
    model, deed = name.split(":")
    obj = make()

    answer = client_of(role).post(reverse(f"admin:{model}_deed", args=[obj.pk, deed]))

    assert answer.status_code == (302 if at_least(role, needed) else 403)


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize(("name", "make", "needed"), POSTS, ids=[name for name, _, _ in POSTS])
def test_a_form_of_a_page_is_refused_below_its_role(client_of, role: Role, name: str, make, needed: Role):
    answer = client_of(role).post(reverse(f"admin:{name}", args=[make().pk]))

    assert (answer.status_code in (200, 302)) == at_least(role, needed)
    assert answer.status_code in (200, 302, 403)


@pytest.mark.parametrize(("name", "make", "needed"), DEEDS, ids=[name for name, _, _ in DEEDS])
def test_a_deed_is_no_link(admin: Client, name: str, make, needed: Role):
    model, deed = name.split(":")

    assert admin.get(reverse(f"admin:{model}_deed", args=[make().pk, deed])).status_code == 405


def test_a_viewer_is_shown_no_button(viewer: Client):
    run = RunFactory(dead=True)

    for address in ("scheduling_run_change", "scheduling_task_change"):
        page = viewer.get(reverse(f"admin:{address}", args=[run.pk if "run" in address else run.task_id]))
        assert b"/do/" not in page.content
        assert b"Edit</a>" not in page.content


def test_a_viewer_does_nothing_through_the_list_either(viewer: Client):
    run = RunFactory(dead=True)

    viewer.post("/admin/scheduling/run/", {"action": "retry", "_selected_action": str(run.pk)})

    run.refresh_from_db()
    assert run.state == "failed"
    assert not AuditEntry.objects.filter(action="run.retry").exists()


def test_a_deed_needs_the_token_of_our_own_page(client_of):
    run = RunFactory(dead=True)
    client = client_of(Role.ADMIN)
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = client.cookies

    assert strict.post(f"/admin/scheduling/run/{run.pk}/do/retry/").status_code == 403


def test_one_without_a_role_sees_no_figures(client_of):
    page = client_of(None).get("/admin/")

    assert b"You have no role yet" in page.content
    assert client_of(None).get("/admin/scheduling/run/").status_code == 403
