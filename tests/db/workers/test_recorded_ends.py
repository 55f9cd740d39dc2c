"""Of runs of every kind: what is recorded ends, simulated, as the run has ended; or the notes say why it does not."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from django.contrib.messages import get_messages
from django.core.management import call_command
from django.test import Client

from pipelines.document import DocumentInvalid
from pipelines.document.parsing import parse
from pipelines.errors import ErrorClass, PipelineError
from pipelines.simulation import simulate
from scheduling.audit.operations import Actor
from scheduling.models import Run
from scheduling.runs.operations import cancel_run, retry_run
from tests.db.workers.test_execution import Tools, calling, make_due, refusing, run_once
from tests.factories import OperatorFactory, RunFactory
from tests.workers_support import due_work, run_of
from workers import recordings
from workers.approvals.operations import approve, reject
from workers.approvals.selectors import approvals
from workers.recordings import RunRecording, record_run

pytestmark = pytest.mark.django_db(transaction=True)

ACTOR = Actor.system("tests")
RETRIED = {"retry": {"max_attempts": 3, "initial": "PT1S"}}
CALL = {"uses": "test.call", "with": {"to": "me"}}
FORM = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


def busy() -> PipelineError:
    return PipelineError("http_503", ErrorClass.TRANSIENT, "HTTP 503")


def asking(**given: Any) -> dict[str, Any]:
    asks = {"id": "ok", "approval": {"title": "Pay?", **given}}
    return {"version": 1, "steps": [asks, {"id": "send", **CALL}], "outputs": {"ok": "${steps.ok.approved}"}}


def ann() -> Actor:
    return Actor.of_operator(OperatorFactory(is_superuser=True))


def deep(levels: int) -> Any:
    return {"in": deep(levels - 1)} if levels else 1


@dataclass
class Case:
    """A run: its document, what its calls answer, what befalls it between the times that a worker has it; and what the
    notes say, nothing where its recording ends as it did."""

    document: dict[str, Any]
    answers: list[Any] = field(default_factory=lambda: [{"ok": True}])
    task: dict[str, Any] = field(default_factory=dict)
    run: dict[str, Any] = field(default_factory=dict)
    between: list[Callable[[Run], object]] = field(default_factory=list)
    notes: tuple[str, ...] = ()
    is_usable: bool = True
    ends_alike: bool = True


def again(_: Run) -> None:
    make_due()


EARLIER = "send was begun anew with the whole run"
BOX = {"id": "box", "try": [{"id": "send", **CALL}], "finally": [{"id": "last", "set": {"v": 1}}]}
CASES = {
    "succeeds": Case(calling()),
    "fails": Case(calling(), answers=[refusing(ErrorClass.PERMANENT)]),
    "is retried by its task": Case(
        calling(), answers=[busy(), {"n": 2}], task=RETRIED, between=[again], notes=(EARLIER,)
    ),
    "is retried by its task until it has failed": Case(
        calling(), answers=[busy()], task=RETRIED, between=[again, again], notes=(EARLIER,)
    ),
    "a step is retried by itself": Case(
        calling(retry={"max_attempts": 2, "initial": "PT0S"}), answers=[busy(), {"n": 2}]
    ),
    "step and task retry": Case(
        calling(retry={"max_attempts": 2, "initial": "PT0S"}),
        answers=[busy(), busy(), busy(), {"n": 4}],
        task=RETRIED,
        between=[again],
        notes=(EARLIER,),
    ),
    "is redriven": Case(
        calling(),
        answers=[refusing(ErrorClass.PERMANENT), {"n": 2}],
        between=[lambda run: retry_run(actor=ACTOR, run=run)],
        notes=(EARLIER,),
    ),
    "is redriven, and its step retries": Case(
        calling(retry={"max_attempts": 3, "initial": "PT0S"}),
        answers=[busy(), refusing(ErrorClass.PERMANENT), busy(), {"n": 4}],
        between=[lambda run: retry_run(actor=ACTOR, run=run)],
        notes=(EARLIER,),
    ),
    "a container is retried": Case(
        {
            "version": 1,
            "steps": [{**BOX, "retry": {"max_attempts": 2, "initial": "PT0S"}}],
            "outputs": {"n": "${steps.box}"},
        },
        answers=[busy(), {"n": 2}],
    ),
    "a container is redriven": Case(
        {"version": 1, "steps": [BOX]},
        answers=[busy(), {"n": 2}],
        between=[lambda run: retry_run(actor=ACTOR, run=run)],
        notes=(EARLIER,),
    ),
    "has params of its own": Case(
        {
            "version": 1,
            "params": {"n": 1, "m": 2},
            "steps": [{"id": "send", **CALL}],
            "outputs": {"n": "${params.n}", "m": "${params.m}"},
        },
        run={"params": {"n": 7}},
    ),
    "has params that its document does not name": Case(
        {"version": 1, "steps": [{"id": "send", **CALL}], "outputs": {"x": "${params.x}", "n": "${params.n}"}},
        run={"params": {"x": 7}},
    ),
    "is approved": Case(
        asking(form=FORM), between=[lambda _: approve(actor=ann(), approval=approvals().get(), form={"n": 1})]
    ),
    "is rejected": Case(asking(), between=[lambda _: reject(actor=ann(), approval=approvals().get(), reason="no")]),
    "is canceled while it asks": Case(
        asking(),
        between=[lambda run: cancel_run(actor=ACTOR, run=run)],
        notes=("the run was canceled: a simulation goes on", "ok was stopped before its answer"),
        ends_alike=False,
    ),
    "has not ended": Case(asking(), notes=("the run has not ended", "ok was stopped"), ends_alike=False),
    "was simulated": Case(calling(), run={"simulated": True}, notes=("the run was simulated",)),
    "the first of two is faster": Case(
        {
            "version": 1,
            "steps": [
                {
                    "id": "race",
                    "parallel": {
                        "branches": {
                            "ask": [{"id": "ok", "approval": {"title": "?"}}],
                            "call": [{"id": "send", **CALL}],
                        },
                        "mode": "any",
                    },
                }
            ],
            "outputs": {"first": "${steps.race}"},
        },
        notes=("ok was stopped before its answer",),
    ),
    "has a large answer": Case(
        calling("first", "send"),
        answers=[{"n": 1}, {"text": "x" * 1_500_000}],
        notes=("most of it in the answers of send: 1048576 can be simulated or saved",),
        is_usable=False,
    ),
    "has an answer that nests deep": Case(
        calling(),
        answers=[deep(70)],
        notes=("the document cannot be used as it is, because of send",),
        is_usable=False,
    ),
}


def end_of(recording: RunRecording, tools: Tools) -> tuple[Any, ...]:
    """As `simulate FILE` has it: from the printed document alone."""
    answer = simulate(parse(call_text(recording)), event=recording.event, catalog=tools.catalog)
    return answer["state"], answer["outputs"], (answer["error"] or {}).get("code")


def call_text(recording: RunRecording) -> str:
    return orjson.dumps(recording.document, option=orjson.OPT_INDENT_2).decode()


@pytest.mark.parametrize("name", CASES)
def test_a_recording_ends_as_its_run_or_notes_why_not(name: str, monkeypatch: pytest.MonkeyPatch):
    case, tools = CASES[name], Tools(answers=CASES[name].answers)
    monkeypatch.setattr(recordings, "current_catalog", lambda: tools.catalog)
    work = due_work(case.document, task=case.task, **case.run)
    run_once(tools)
    for befall in case.between:
        befall(run_of(work))
        run_once(tools)

    run = run_of(work)
    recording = record_run(run)

    for note, wanted in zip(recording.notes, case.notes, strict=True):
        assert wanted in note
    if not case.is_usable:
        with pytest.raises(DocumentInvalid):
            end_of(recording, tools)
    else:
        ended = (run.state, run.output or {}, (run.error or {}).get("code") if run.state == "failed" else None)
        assert (end_of(recording, tools) == ended) is case.ends_alike


def test_who_never_answered_is_given_no_answer(monkeypatch: pytest.MonkeyPatch):
    tools = Tools()
    monkeypatch.setattr(recordings, "current_catalog", lambda: tools.catalog)
    work = due_work(asking())
    run_once(tools)
    cancel_run(actor=ACTOR, run=run_of(work))

    assert end_of(record_run(run_of(work)), tools) == ("failed", {}, "unanswered")


@pytest.mark.parametrize(
    ("fields", "note"),
    [
        ({"state": "missed"}, "the run was missed and has never begun"),
        ({"state": "failed", "cause": "deadline", "started_at": datetime.now(UTC)}, "the run failed by its deadline"),
        ({"state": "failed", "cause": "quarantined", "started_at": datetime.now(UTC)}, "by its quarantined"),
        (
            {
                "state": "canceled",
                "started_at": datetime(2026, 3, 1, tzinfo=UTC),
                "finished_at": datetime(2026, 3, 1, tzinfo=UTC) + timedelta(seconds=90),
            },
            "--cancel-at PT1M30S",
        ),
    ],
)
def test_what_no_step_has_done_is_noted(fields: dict[str, Any], note: str):
    (only,) = record_run(RunFactory(**fields)).notes

    assert note in only


def test_the_command_and_the_console_tell_the_notes(capsys: pytest.CaptureFixture[str]):
    run, client = RunFactory(succeeded=True, simulated=True), Client()
    client.force_login(OperatorFactory(is_superuser=True))

    call_command("recordfixtures", str(run.pk))
    answer = client.get(f"/admin/scheduling/run/{run.pk}/fixtures/")

    assert "Note: the run was simulated" in capsys.readouterr().err
    assert "the run was simulated" in " ".join(str(message) for message in get_messages(answer.wsgi_request))
