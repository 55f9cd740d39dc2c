from collections.abc import Sequence
from typing import Any

from django.contrib.admin import autodiscover
from django.contrib.admin.apps import SimpleAdminConfig
from django.contrib.admin.checks import check_admin_app
from django.core import checks


class ConsoleConfig(SimpleAdminConfig):
    """The console's pages are read with the addresses (`ordinaut_project.urls`). Clocks and workers have none, and it
    would be a fifth of their start."""

    default_site = "ordinaut_project.console.site.ConsoleSite"

    def ready(self) -> None:
        super().ready()
        checks.register(_check_pages, checks.Tags.admin)


def _check_pages(*, app_configs: Sequence[Any] | None, **options: Any) -> list[checks.CheckMessage]:
    """Django's own check of the pages looks at those alone that are known when its turn comes."""
    autodiscover()
    return list(check_admin_app(app_configs=app_configs, **options))
