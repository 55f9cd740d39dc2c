"""A real browser, where the host has one. The driver is Playwright's; the browser is the system's Chromium."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.db import connection

from tests.sessions import wait_for_sessions_to_end

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_WIDTH, _HEIGHT = 1440, 1000


def browser_path() -> str | None:
    return next((found for name in _NAMES if (found := shutil.which(name))), None)


@dataclass
class Visit:
    """A page and what went wrong on it: errors of its console, uncaught exceptions, requests that failed or left."""

    page: Any
    address: str
    complaints: list[str] = field(default_factory=list)

    def open(self, path: str) -> None:
        self.page.goto(f"{self.address}{path}", wait_until="networkidle")


@pytest.fixture
def visit(live_server: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Visit]:
    """A fresh browser on the live server; it is closed before the server and the tables go away."""
    executable = browser_path()
    if executable is None:
        pytest.skip(f"no browser on this host: none of {', '.join(_NAMES)} is on the path")
    from playwright.sync_api import sync_playwright

    # Playwright keeps an event loop in this thread; Django would take every query of the test for one inside of it.
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    sandbox = ["--no-sandbox"] if os.getuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--disable-gpu", *sandbox])
        page = browser.new_context(viewport={"width": _WIDTH, "height": _HEIGHT}).new_page()
        made = Visit(page=page, address=live_server.url)
        _listen(made)
        yield made
        browser.close()
        # Beside Playwright's loop, Django takes the test for another task and gives it a connection of its own.
        connection.close()
    wait_for_sessions_to_end()


def _listen(visit: Visit) -> None:
    page = visit.page
    page.on("console", lambda said: visit.complaints.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: visit.complaints.append(str(error)))
    page.on(
        "request",
        lambda asked: (
            visit.complaints.append(f"left our host: {asked.url}")
            if not asked.url.startswith((visit.address, "data:", "blob:"))
            else None
        ),
    )
