from django.apps import AppConfig
from django.core import checks


class WorkersConfig(AppConfig):
    name = "workers"

    def ready(self) -> None:
        from scheduling.checks import OURS
        from workers.checks import check_settings

        checks.register(check_settings, OURS)
