"""The console in a real browser: it can be used, it complains of nothing and it asks no other host."""

import pytest

from scheduling.agents.roles import Role, assign
from scheduling.runs.models import Run
from tests.browser.conftest import Visit
from tests.factories import (
    DueWorkFactory,
    OperatorFactory,
    RunFactory,
    ScheduleFactory,
    StepRunFactory,
    TaskFactory,
    TaskRevisionFactory,
)

pytestmark = pytest.mark.django_db(transaction=True)


def log_in(visit: Visit, role: Role) -> None:
    operator = OperatorFactory()
    assign(operator, role)
    visit.open("/admin/")
    visit.page.fill("input[name=username]", operator.username)
    visit.page.fill("input[name=password]", "correct horse battery")
    visit.page.click("button[type=submit]")
    visit.page.wait_for_selector("text=Runs by the hour")


def test_an_operator_logs_in_and_runs_a_task(visit: Visit):
    task = TaskFactory(title="Morning briefing")
    log_in(visit, Role.OPERATOR)

    visit.open("/admin/scheduling/task/")
    visit.page.click("text=Morning briefing")
    visit.page.click("button:has-text('Run now')")
    visit.page.wait_for_selector("text=is queued")
    run = Run.objects.get(task=task)
    visit.page.click(f"a:has-text('{run.pk}')")
    visit.page.wait_for_selector("text=No step has begun")

    assert visit.complaints == []


def test_the_pages_of_the_engine_complain_of_nothing(visit: Visit):
    run = RunFactory(dead=True)
    StepRunFactory(run=run, output={"hostile": "</script><script>window.hacked = true</script>"})
    log_in(visit, Role.ADMIN)

    for address in (
        "/admin/",
        "/admin/scheduling/run/",
        f"/admin/scheduling/run/{run.pk}/change/",
        "/admin/scheduling/run/dead-letters/",
        f"/admin/scheduling/task/{run.task_id}/change/",
        f"/admin/scheduling/task/{run.task_id}/edit/",
        f"/admin/scheduling/agent/{run.agent_id}/change/",
        "/admin/scheduling/auditentry/",
        "/admin/workers/worker/",
        "/admin/scheduling/operator/add/",
        "/admin/pipelines/toolserver/",
    ):
        visit.open(address)

    assert visit.complaints == []
    assert not visit.page.evaluate("window.hacked === true")


def test_a_schedule_previews_itself_while_it_is_written(visit: Visit):
    schedule = ScheduleFactory(expression="0 8 * * 1-5")
    log_in(visit, Role.AUTHOR)
    visit.open(f"/admin/scheduling/schedule/{schedule.pk}/change/")

    visit.page.fill("[name=expression]", "30 17 * * 5")
    visit.page.wait_for_selector("[data-preview] >> text=17:30")
    visit.page.fill("[name=expression]", "never")
    visit.page.wait_for_selector("[data-preview] .ord-error")

    assert "five fields" in visit.page.inner_text("[data-preview]")
    assert visit.complaints == []


def test_a_selected_run_is_canceled_from_the_list(visit: Visit):
    run = DueWorkFactory().run
    log_in(visit, Role.OPERATOR)
    visit.open("/admin/scheduling/run/")

    visit.page.check("input[name=_selected_action]")
    visit.page.select_option("select[name=action]", "cancel")
    visit.page.click("button[name=index]")
    visit.page.wait_for_selector("text=is canceled")

    run.refresh_from_db()
    assert run.state == "canceled"
    assert visit.complaints == []


def test_a_viewer_simulates_a_task_from_its_page(visit: Visit):
    task = TaskFactory(title="Morning briefing", params={"n": 3})
    document = {
        "version": 1,
        "params": {"n": 2},
        "steps": [
            {"id": "nap", "wait": {"for": "PT1H"}},
            {"id": "note", "uses": "log.write", "with": {"message": "n is ${params.n}"}},
        ],
        "outputs": {"n": "${params.n}"},
        "assert": ["outputs.n == 3", "outputs.n > 9"],
    }
    task.current_revision = TaskRevisionFactory(task=task, document=document, number=2)
    task.save()
    log_in(visit, Role.VIEWER)

    visit.open(f"/admin/scheduling/task/{task.pk}/change/")
    visit.page.click("text=Simulate here, in virtual time")
    visit.page.click("button:has-text('Simulate here')")
    visit.page.wait_for_selector("text=does not hold")

    assert visit.page.locator("td:text-is('PT1H')").count() == 2
    assert visit.complaints == []
