"""The inbox of approvals in the console: what it lists, the form it makes of a schema, and the decision."""

from typing import Any

import pytest
from django.test import Client

from scheduling.models import Operator, Run
from tests.factories import DueWorkFactory, QuestionFactory, RunFactory
from workers.approvals.form_fields import form_of
from workers.models import Question

pytestmark = pytest.mark.django_db

LIST = "/admin/workers/question/"
FORM = {
    "type": "object",
    "properties": {
        "amount": {"type": "integer", "minimum": 1, "title": "Amount", "description": "In EUR."},
        "account": {"enum": ["main", "travel"]},
        "note": {"type": "string"},
        "urgent": {"type": "boolean"},
        "lines": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["amount", "account"],
}


def asked(form: Any = None, **asks: Any) -> Question:
    work = DueWorkFactory(run=RunFactory(state="waiting"))
    question: Question = QuestionFactory(
        run=work.run, asks={"title": "Pay the <b>rent</b>?", "detail": "a\nb", "roles": [], "form": form, **asks}
    )
    return question


def page(question: Question) -> str:
    return f"{LIST}{question.pk}/change/"


def text(answer: Any) -> str:
    assert answer.status_code == 200, answer.status_code
    return answer.content.decode()


def test_the_inbox_lists_what_is_open_and_all_on_request(operator: Client):
    question = asked()
    QuestionFactory(asks={"title": "Long gone", "detail": "", "roles": [], "form": None}, run=RunFactory())

    inbox, everything = text(operator.get(LIST)), text(operator.get(f"{LIST}?state=all"))

    assert "Pay the &lt;b&gt;rent&lt;/b&gt;?" in inbox
    assert "Long gone" not in inbox
    assert "Long gone" in everything
    assert "withdrawn" in everything
    assert question.run.task.title in inbox


def test_the_page_shows_what_is_asked_and_a_field_for_each_property(operator: Client):
    shown = text(operator.get(page(asked(FORM))))

    assert "a\nb" in shown
    assert all(word in shown for word in ("Amount *", "account *", "note", "urgent", "lines (JSON)", "In EUR."))
    assert shown.count('name="field_') == 5


def test_approving_takes_the_form_and_wakes_the_run(operator: Client):
    question = asked(FORM)
    given = {"field_0": "12", "field_1": "1", "field_2": "", "field_4": '["x"]', "reason": "fine", "approve": "yes"}

    answer = operator.post(page(question), given, follow=True)

    assert "Approved: the run goes on." in text(answer)
    question.refresh_from_db()
    assert question.answer["form"] == {"amount": 12, "account": "travel", "urgent": False, "lines": ["x"]}
    assert (question.answer["reason"], question.outcome) == ("fine", "approved")
    assert text(operator.get(page(question))).count("approved") >= 1


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"field_0": "0", "field_1": "0"}, "less than the minimum"),
        ({"field_0": "x", "field_1": "0"}, "Enter a whole number"),
        ({"field_1": "0"}, "This field is required"),
        ({"field_0": "1", "field_1": "7"}, "Select a valid choice"),
        ({"field_0": "1", "field_1": "0", "field_4": "{"}, "This is no JSON"),
        ({"field_0": "1", "field_1": "0", "field_4": "[1]"}, "is not of type"),
    ],
)
def test_a_form_that_is_wrong_is_shown_again_with_what_was_written(operator: Client, given: Any, words: str):
    question = asked(FORM)

    shown = text(operator.post(page(question), {**given, "field_2": "keep me", "approve": "yes"}))

    assert words in shown
    assert "keep me" in shown
    question.refresh_from_db()
    assert question.answer is None


def test_rejecting_needs_no_form(operator: Client):
    question = asked(FORM)

    assert "Rejected" in text(operator.post(page(question), {"reason": "no", "reject": "yes"}, follow=True))
    question.refresh_from_db()
    assert (question.outcome, question.answer["reason"]) == ("rejected", "no")


def test_a_viewer_sees_and_does_not_decide(viewer: Client):
    question = asked()

    assert 'name="approve"' not in text(viewer.get(page(question)))
    assert viewer.post(page(question), {"approve": "yes"}).status_code == 403
    question.refresh_from_db()
    assert question.answer is None


def test_who_may_not_decide_is_told_why_and_refused(operator: Client):
    own, others = asked(), asked(roles=["finance"])
    Run.objects.filter(pk=own.run_id).update(triggered_by=f"operator:{Operator.objects.get().username}")

    assert "Nobody decides about a run that they have started." in text(operator.get(page(own)))
    assert "This needs one of the roles finance." in text(operator.get(page(others)))
    answer = operator.post(page(others), {"approve": "yes"}, follow=True)
    assert "This needs one of the roles finance." in text(answer)
    others.refresh_from_db()
    assert others.answer is None


def test_what_is_decided_meanwhile_is_told(operator: Client, admin: Client):
    question = asked()
    admin.post(page(question), {"approve": "yes"})

    assert "It was approved by" in text(operator.post(page(question), {"reject": "yes"}, follow=True))


def test_one_that_is_not_there_is_a_404(operator: Client):
    assert operator.get(f"{LIST}nothing/change/").status_code == 404


@pytest.mark.parametrize("schema", [{"type": "object"}, {"type": "object", "properties": {}}, {"oneOf": [{}]}])
def test_a_schema_without_properties_takes_json(schema: Any):
    form = form_of(schema, {"form": '{"a": 1}'})

    assert form is not None
    assert form.is_valid()
    assert form.values() == {"a": 1}
    other = form_of(schema, {"form": "[1]"})
    assert other is not None
    assert not other.is_valid()


def test_odd_schemas_make_a_form_all_the_same():
    odd = {"properties": {"a": True, "b/~c": {"type": ["string", "null"]}, "d": {"enum": [1, None, {"x": 1}]}}}
    form = form_of(odd, {"field_0": "1", "field_1": "null", "field_2": "2"})

    assert form is not None
    assert form.is_valid(), form.errors
    assert form.values() == {"a": 1, "d": {"x": 1}}
    assert form.field_of("/form/b~1~0c/0") == "field_1"
    assert form.field_of("/form") is None
