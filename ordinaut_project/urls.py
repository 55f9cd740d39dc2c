"""Where every address of the web process is put together."""

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path
from django.views.generic import RedirectView

import pipelines.api
import pipelines.servers.api
import scheduling.agents.api
import scheduling.backfills.api
import scheduling.bulk.api
import scheduling.calendars.api
import scheduling.events.api
import scheduling.queues.api
import scheduling.runs.api
import scheduling.schedules.api
import scheduling.tasks.api
import workers.api
import workers.approvals.api
from ordinaut_project import documentation, health, metrics

admin.autodiscover()

_api: list[URLPattern | URLResolver] = [
    path("schema", documentation.SchemaView.as_view(), name="schema"),
    path("docs", documentation.DocsView.as_view(), name="docs"),
    *scheduling.tasks.api.urlpatterns,
    *scheduling.schedules.api.urlpatterns,
    *scheduling.backfills.api.urlpatterns,
    *scheduling.calendars.api.urlpatterns,
    *scheduling.queues.api.urlpatterns,
    *scheduling.bulk.api.urlpatterns,
    *scheduling.runs.api.urlpatterns,
    *scheduling.events.api.urlpatterns,
    *scheduling.agents.api.urlpatterns,
    *pipelines.api.urlpatterns,
    *pipelines.servers.api.urlpatterns,
    *workers.api.urlpatterns,
    *workers.approvals.api.urlpatterns,
]

urlpatterns: list[URLPattern | URLResolver] = [
    # People type the short address; the API's own addresses never end with a slash and are left alone.
    path("", RedirectView.as_view(pattern_name="admin:index"), name="home"),
    path("admin", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/", admin.site.urls),
    path("api/v1/", include(_api)),
    path("llms.txt", documentation.llms_txt, name="llms"),
    path("livez", health.livez, name="livez"),
    path("readyz", health.readyz, name="readyz"),
    path("metrics", metrics.metrics, name="metrics"),
]

handler400 = "ordinaut_project.problems.bad_request"
handler403 = "ordinaut_project.problems.permission_denied"
handler404 = "ordinaut_project.problems.not_found"
handler500 = "ordinaut_project.problems.server_error"
