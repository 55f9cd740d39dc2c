"""NULs and junk at every address of the console: no error of ours, and nothing of it stored."""

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from django.contrib import admin as django_admin
from django.db.models import ForeignKey
from django.test import Client
from django.urls import URLResolver, get_resolver, resolve, reverse

from scheduling.models import Run
from scheduling.tasks.models import Task
from tests.db.console.walking import Form, Walk, forms_of
from tests.db.console.world import make_world
from tests.hostile import JUNK, NUL, Turns, some_of

pytestmark = pytest.mark.django_db

django_admin.autodiscover()
MODELS = sorted(django_admin.site._registry, key=lambda model: model._meta.label)
OF_EVERY_LIST = {"q", "p", "o", "all", "e", "_facets", "_popup", "_to_field", "_changelist_filters", "\x00"}
OF_SOME_LISTS = {"state", "made", "object_id", "object_kind", "action", "run_id", "task__id__exact"}
# What a list does not offer, and an address may ask for all the same.
LOOKUPS = {
    "exact": ("x", '{"a": "\\u0000"}'),
    "regex": ("(",),
    "in": ("x,y",),
    "isnull": ("x",),
    "gte": ("9" * 30,),
    "year": ("9" * 30,),
    "contains": ("{",),
    "no_lookup": ("x",),
}
ODD = ("x", "-1", "9" * 5000)


def address_of(model: Any, page: str, *ids: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=ids)


def parameters_of(model: Any) -> Iterator[tuple[str, str]]:
    columns = model._meta.concrete_fields
    keys = {f"{column.name}__id__exact" for column in columns if isinstance(column, ForeignKey)}
    for name in sorted(OF_EVERY_LIST | OF_SOME_LISTS | keys | {f"{column.name}__exact" for column in columns}):
        yield name, "\x00"
    for name in sorted(OF_EVERY_LIST | OF_SOME_LISTS | keys):
        yield from ((name, value) for value in some_of(ODD, f"{model} {name}", 1))
    lookups = [(lookup, value) for lookup, values in LOOKUPS.items() for value in values]
    for column in {type(column): column for column in columns}.values():  # one of each kind
        for lookup, value in some_of(lookups, f"{model} {column.name}", 3):
            yield f"{column.name}__{lookup}", value


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.label)
def test_the_parameters_of_a_list(admin: Client, model: Any):
    make_world()
    walk = Walk(admin)

    for name, value in parameters_of(model):
        walk.get(f"{address_of(model, 'changelist')}?{urlencode({name: value})}")

    walk.check()


def pages(client: Client) -> Iterator[tuple[str, bytes]]:
    """Every page that can be looked at, with what there is."""
    world = make_world()
    addresses = [reverse(f"admin:{name}") for name in ("index", "dead_letters", "tool_catalog", "password_change")]
    make_backfill = reverse("admin:scheduling_backfill_make", args=[world["scheduling.Schedule"].pk])
    addresses += [
        make_backfill,
        reverse("admin:scheduling_task_edit", args=[world["scheduling.Task"].pk]),
        reverse("admin:auth_user_password_change", args=[world["scheduling.Operator"].pk]),
    ]
    for model in MODELS:
        changed = address_of(model, "change", world[model._meta.label].pk)
        addresses += [address_of(model, "changelist"), address_of(model, "add"), changed]
    yield from ((address, client.get(address).content) for address in addresses)
    # The second steps of what is done in two.
    counted = {"start": "2026-03-01T00:00:00", "end": "2026-03-03T00:00:00", "overlap": "allow", "max_active": "1"}
    yield make_backfill, client.post(make_backfill, {**counted, "count": "yes"}).content
    dead_letters = reverse("admin:dead_letters")
    yield dead_letters, client.post(dead_letters, {"redrive": "preview", "queue": "default"}).content


def forms(client: Client) -> list[Form]:
    """Those of all pages, each once. The rule that is being written is sent by a script, as the form has it."""
    found = [form for address, page in pages(client) for form in forms_of(page, at=address)]
    for form in [form for form in found if form.address == reverse("admin:scheduling_schedule_add")]:
        found.append(Form(reverse("admin:scheduling_schedule_preview"), form.fields))
    return list({(form.address, *sorted(form.fields)): form for form in found}.values())


@pytest.mark.slow
def test_the_fields_of_every_form(admin: Client):
    walk = Walk(admin)
    known: set[tuple[str, str]] = set()
    nul, junk = Turns((NUL,), places=5), Turns(JUNK, places=3)

    for form in forms(admin):
        walk.post(form.address, {})
        model = "/".join(form.address.split("/")[:4])
        for filled in form.filled()[:2]:  # of the deeds of a list one is as good as another
            for name in form.fields:
                for value in nul.at_next_place():
                    walk.post(form.address, {**filled, name: value}, changed=name, may_write=False)
                is_known = (model, name) in known or name in form.offered
                known.add((model, name))
                for value in () if is_known else junk.at_next_place():
                    walk.post(form.address, {**filled, name: value}, changed=name)

    walk.check()


def addresses() -> Iterator[tuple[str, list[str]]]:
    """The route of every address below the console's, and the names of what is read out of it."""
    (console,) = (each for each in get_resolver().url_patterns if getattr(each, "app_name", None) == "admin")
    assert isinstance(console, URLResolver)
    yield from _routes(console, "/")


def _routes(resolver: URLResolver, stem: str) -> Iterator[tuple[str, list[str]]]:
    for each in resolver.url_patterns:
        route = f"{stem}{resolver.pattern}"
        if isinstance(each, URLResolver):
            yield from _routes(each, route)
        else:
            yield f"{route}{each.pattern}", list(each.pattern.converters)


def test_the_ids_of_every_address(admin: Client):
    make_world()
    walk = Walk(admin)

    for route, names in addresses():
        if not names or "logout" in route:
            continue
        for value in ("\x00", *some_of(("x", "9" * 5000, "01980000-0000-7000-8000-000000000000"), route, 1)):
            address = re.sub(r"<[^>]+>", quote(value), route)
            walk.get(address)
            walk.post(address, {}, may_write=False)

    walk.check()


@pytest.mark.slow
def test_the_parameters_of_every_page(admin: Client):
    walk = Walk(admin)

    for address, page in pages(admin):
        known = {name for form in forms_of(page, at=address) if form.address == address for name in form.fields}
        route = resolve(address).route  # the ids of the address are others in each run
        for name in some_of(sorted({*known, "_popup", "_to_field", "_changelist_filters"}), route, 1):
            for value in some_of((NUL, "x"), f"{route} {name}", 1):
                walk.get(f"{address}?{urlencode({name: value})}")

    walk.check()


def test_what_is_completed_while_it_is_written(admin: Client):
    walk = Walk(admin)
    of_task = {"app_label": "scheduling", "model_name": "schedule", "field_name": "task", "term": "x"}

    for name in of_task | {"page": "1"}:
        for value in (NUL, *JUNK[:4]):
            walk.get(f"{reverse('admin:autocomplete')}?{urlencode({**of_task, name: value[:2000]})}")

    walk.check()


def test_a_log_in_with_a_nul_is_no_error_of_ours(client: Client):
    for name in ("username", "password", "next"):
        given = {"username": "a", "password": "b", "next": "/admin/", name: NUL}
        assert client.post(reverse("admin:login"), given).status_code == 200
    assert client.get(f"{reverse('admin:login')}?next=%00").status_code == 400


def test_a_nul_is_told_on_its_field_with_what_to_do(admin: Client):
    world = make_world()
    task = {"key": "a", "pipeline": "{}", "priority": "5", "queue": "default", "overlap": "allow", "title": NUL}
    snooze = reverse("admin:scheduling_schedule_snooze", args=[world["scheduling.Schedule"].pk])

    form = admin.post(address_of(Task, "add"), {**task, "agent": world["scheduling.Agent"].pk})
    refused = admin.post(snooze, {"until": "2100-01-01T00:00", "reason": NUL}, follow=True)
    preview = {"kind": "cron", "expression": "0 8 * * *", "calendars": NUL, "task": world["scheduling.Task"].pk}
    previewed = admin.post(reverse("admin:scheduling_schedule_preview"), preview)

    assert "Remove the character." in form.context["adminform"].form.errors["title"][0]
    assert ["(at /reason) Remove" in str(each) for each in refused.context["messages"]] == [True]
    assert "NUL character" in previewed.content.decode()


def test_a_list_that_cannot_be_is_shown_whole_and_says_so(admin: Client):
    address = address_of(Run, "changelist")

    refused = admin.get(f"{address}?task__id__exact=not-a-uuid", follow=True)
    broken = admin.get(f"{address}?%00=1")

    assert [str(each)[:9] for each in refused.context["messages"]] == ["What the "]
    assert broken.status_code == 400
    assert "%00" in broken.content.decode()


def test_an_action_on_an_id_that_is_none_does_nothing(admin: Client):
    make_world()

    answer = admin.post(address_of(Task, "changelist"), {"action": "pause", "_selected_action": ["x"]}, follow=True)

    assert [str(each) for each in answer.context["messages"]] == ["One of the chosen ids is none. Nothing was done."]
    assert not Task.objects.exclude(state="active").exists()


@pytest.mark.parametrize(
    ("model", "lookup"),
    [("operator", "password__startswith"), ("agenttoken", "digest__gte"), ("task", "title__regex"), ("secret", "name")],
)
def test_no_list_is_filtered_by_what_it_does_not_offer(admin: Client, model: str, lookup: str):
    label = "pipelines" if model == "secret" else "scheduling"

    answer = admin.get(f"{reverse(f'admin:{label}_{model}_changelist')}?{lookup}=a")

    assert answer.status_code == 400
