"""Secrets in the console: written by the operation of the API, and never shown."""

from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from pipelines import conf
from pipelines.models import Secret
from pipelines.secrets.vault import Sealed, new_key
from scheduling.audit.models import AuditEntry
from tests.factories import AgentFactory

pytestmark = pytest.mark.django_db

ADD = "/admin/pipelines/secret/add/"
VALUE = "planted-value-0123456789"


@pytest.fixture(autouse=True)
def _key(settings: Settings) -> None:
    settings.ORDINAUT_ENCRYPTION_KEYS = [new_key()]


def page_of(secret: Secret) -> str:
    return f"/admin/pipelines/secret/{secret.pk}/change/"


def value_of(secret: Secret) -> str:
    sealed = Sealed(secret.key_id, bytes(secret.ciphertext))
    return conf.vault().open(sealed, owner=str(secret.agent_id), name=secret.name)


def errors_of(answer: Any) -> dict[str, list[str]]:
    return {name: list(found) for name, found in answer.context["adminform"].form.errors.items()}


@pytest.fixture
def secret(admin: Client) -> Secret:
    admin.post(ADD, {"agent": AgentFactory().pk, "name": "token", "value": VALUE, "tools": "http.request"})
    return Secret.objects.get()


def test_a_secret_is_made_limited_and_replaced_and_stands_on_no_page(admin: Client, secret: Secret):
    admin.post(page_of(secret), {"value": "", "tools": "http.request", "hosts": "api.example.com\nb.example.com"})
    secret.refresh_from_db()
    assert (secret.hosts, value_of(secret)) == (["api.example.com", "b.example.com"], VALUE)

    admin.post(page_of(secret), {"value": VALUE + "!", "tools": "http.request", "hosts": ""})
    secret.refresh_from_db()
    assert (secret.hosts, value_of(secret)) == ([], VALUE + "!")

    for page in (page_of(secret), "/admin/pipelines/secret/", "/admin/scheduling/auditentry/"):
        assert VALUE not in admin.get(page).content.decode()
    actions = AuditEntry.objects.filter(action__startswith="secret.").order_by("id")
    assert [entry.action for entry in actions] == ["secret.create", "secret.update", "secret.update"]


def test_a_refused_form_does_not_give_the_value_back(admin: Client):
    answer = admin.post(ADD, {"agent": AgentFactory().pk, "name": "no name", "value": VALUE, "tools": "http.request"})

    assert "name" in errors_of(answer)
    assert VALUE not in answer.content.decode()
    assert not Secret.objects.exists()


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"value": "short"}, "value"),
        ({"value": ""}, "value"),
        ({"tools": "log.write"}, "tools"),
        ({"hosts": "https://a.example"}, "hosts"),
        ({"name": "token"}, "name"),
    ],
)
def test_what_is_wrong_is_told_on_its_field(admin: Client, secret: Secret, changes: dict[str, str], field: str):
    given = {"agent": secret.agent_id, "name": "other", "value": VALUE, "tools": "http.request", **changes}

    answer = admin.post(ADD, given)

    assert field in errors_of(answer)
    assert Secret.objects.count() == 1


def test_it_is_deleted_by_its_button(admin: Client, secret: Secret):
    assert "Delete" in admin.get(page_of(secret)).content.decode()

    admin.post(f"/admin/pipelines/secret/{secret.pk}/do/delete/")

    assert not Secret.objects.exists()
    assert AuditEntry.objects.filter(action="secret.delete").exists()


def test_authors_see_that_it_exists_and_change_nothing(author: Client, secret: Secret):
    assert author.get("/admin/pipelines/secret/").status_code == 200
    assert author.post(ADD, {}).status_code == 403
    assert author.post(page_of(secret), {"value": "other-value", "tools": "http.request"}).status_code == 403
    assert author.post(f"/admin/pipelines/secret/{secret.pk}/do/delete/").status_code == 403
    assert value_of(secret) == VALUE


def test_the_words_beside_a_field_are_seen_whole_by_who_reads_the_page(admin: Client, secret: Secret):
    """Django takes them for markup: what stands in angle brackets would be gone."""
    for page in (ADD, page_of(secret), "/admin/pipelines/toolserver/add/"):
        fields = admin.get(page).context["adminform"].form.fields.values()
        assert [field.help_text for field in fields if "<" in str(field.help_text)] == []
    assert "named in steps as" in admin.get(page_of(secret)).content.decode()


def test_a_new_secret_must_have_a_value_and_an_old_one_keeps_its_own(admin: Client, secret: Secret):
    assert admin.get(ADD).context["adminform"].form.fields["value"].required is True
    assert admin.get(page_of(secret)).context["adminform"].form.fields["value"].required is False
