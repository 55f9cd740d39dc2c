"""The console's site: Django admin with the dashboard as its first page."""

from typing import Any
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.templatetags.static import static
from django.urls import URLPattern, URLResolver, path
from unfold.sites import UnfoldAdminSite

from ordinaut_project.console.dashboard import dashboard


class ConsoleSite(UnfoldAdminSite):
    site_header = "Ordinaut"
    site_title = "Ordinaut"
    index_title = "Dashboard"

    def get_urls(self) -> list[URLPattern | URLResolver]:
        """Without the way to an object's page on the site: no object has one, and an id that is none upsets it."""
        # Tasks are scheduling's, which knows no pipelines; so the page that simulates one joins here.
        simulate = path(
            "scheduling/task/<uuid:object_id>/simulate/",
            self.admin_view(simulate_view),
            name="scheduling_task_simulate",
        )
        others = super().get_urls()
        return [simulate, *(each for each in others if getattr(each, "name", None) != "view_on_site")]

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        """The site's context without the theme's colours: they would be an inline style; ours are in a file."""
        return {**super().each_context(request), "colors": None, "border_radius": None}

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        """The dashboard."""
        request.current_app = self.name
        context = {**self.each_context(request), **dashboard(request), "title": self.index_title, "index": True}
        return TemplateResponse(request, "console/dashboard.html", {**context, **(extra_context or {})})


def simulate_view(request: HttpRequest, object_id: UUID) -> HttpResponse:
    """See `pipelines.simulation.console`, whose models are not ready while this site is made."""
    from pipelines.simulation import console

    return console.simulate_view(request, object_id)


def environment_badge(_request: HttpRequest) -> tuple[str, str]:
    """The environment's name and the colour of its badge: production is red, so that nobody mistakes it."""
    colour = {"production": "danger", "staging": "warning"}.get(settings.ORDINAUT_ENV, "info")
    return settings.ORDINAUT_ENV, colour


def theme_style(_request: HttpRequest) -> str:
    return static("console/theme.css")


def console_style(_request: HttpRequest) -> str:
    return static("console/console.css")


def console_script(_request: HttpRequest) -> str:
    return static("console/console.js")


def icon(_request: HttpRequest) -> str:
    return static("console/icon.svg")
