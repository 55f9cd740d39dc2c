"""Requests by the thousand to the console, and the forms that its pages show."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

from django.test import Client
from django.urls import reverse

from scheduling.audit.models import AuditEntry
from tests.hostile import shown, undone


class Walk:
    """Keeps what must not be: an exception, a status of 500 or more, something stored. What is written is undone."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.wrong: list[str] = []

    def get(self, path: str) -> Any:
        return self._send("get", path, None, shown(path), may_write=True)

    def post(self, path: str, data: dict[str, Any], *, changed: str = "", may_write: bool = True) -> Any:
        what = f"{path} {changed}={shown(data.get(changed))}"
        return self._send("post", path, data, what, may_write=may_write)

    def check(self) -> None:
        assert not self.wrong, "\n".join(self.wrong)

    def _send(self, method: str, path: str, data: Any, what: str, *, may_write: bool) -> Any:
        entries = 0 if may_write else AuditEntry.objects.count()
        with undone():
            try:
                # What was done is looked at, too: what can be stored can be shown.
                answer = getattr(self._client, method)(path, data, follow=method == "post")
            except Exception as error:  # noqa: BLE001 (that is what is looked for)
                self.wrong.append(f"{method} {what}: {type(error).__name__}: {str(error)[:100]}")
                return None
            if answer.status_code >= 500:
                self.wrong.append(f"{method} {what}: {answer.status_code}")
            elif not may_write and AuditEntry.objects.count() != entries:
                self.wrong.append(f"{method} {what}: something is stored")
            assert answer.request["PATH_INFO"] != reverse("admin:login"), f"logged out at {what}"
        return answer


@dataclass(slots=True)
class Form:
    """A form that is sent by POST. What is in `flags` counts by being there, whatever it says; `offered` are the
    choices of a field, and the values of the buttons of one name."""

    address: str
    fields: dict[str, str] = field(default_factory=dict)
    flags: set[str] = field(default_factory=set)
    offered: dict[str, list[str]] = field(default_factory=dict)

    def filled(self) -> list[dict[str, str]]:
        """As it may be sent: by each of its buttons, and in a list by each of its actions."""
        choice = next((name for name in ("action", "redrive", "start_runs", "count") if name in self.offered), None)
        values = [value for value in self.offered[choice] if value] if choice else []
        return [{**self.fields, str(choice): value} for value in values] or [self.fields]


def forms_of(page: bytes, *, at: str) -> list[Form]:
    """Those that the page shows, each field with what stands in it."""
    reader = _Reader(at)
    reader.feed(page.decode())
    return [form for form in reader.found if form.address != reverse("admin:logout")]


class _Reader(HTMLParser):
    def __init__(self, at: str) -> None:
        super().__init__()
        self.found: list[Form] = []
        self._at = at
        self._form: Form | None = None
        self._text = ""
        self._choice = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form" and given.get("method", "").lower() == "post":
            self._form = Form(given.get("action") or self._at)
            self.found.append(self._form)
        elif self._form is not None:
            self._read(self._form, tag, given)

    def _read(self, form: Form, tag: str, given: dict[str, str]) -> None:
        name, value, kind = given.get("name", ""), given.get("value", ""), given.get("type", "")
        if tag == "option" and self._choice:
            form.offered.setdefault(self._choice, []).append(value)
            if "selected" in given:
                form.fields[self._choice] = value
        elif not name or name == "csrfmiddlewaretoken":
            return
        elif tag == "button" or kind == "submit":
            form.offered.setdefault(name, []).append(value)
        elif name == "select_across" or (kind == "checkbox" and value in ("", "on")):  # else it carries an id
            form.flags.add(name)
        elif tag in ("input", "select", "textarea"):
            form.fields[name] = value
            self._choice = name if tag == "select" else ""
            self._text = name if tag == "textarea" else ""

    def handle_data(self, data: str) -> None:
        if self._text and self._form is not None:
            self._form.fields[self._text] += data

    def handle_endtag(self, tag: str) -> None:
        if tag in ("select", "textarea"):
            self._choice = self._text = ""
        elif tag == "form":
            self._form = None
